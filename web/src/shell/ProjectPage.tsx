// A page of the project's own: an ES module from the same server. What it is handed stands in README.md.
import { useEffect, useRef, useState } from "react";
import { prefix } from "../address";
import { act, ask } from "../api/client";
import { useGo } from "../kit/address";
import { Page } from "../kit/Page";
import { ProblemNote } from "../kit/Problem";
import { shownTheme, subscribeToPreferences } from "../preferences";
import { text } from "../text";
import { useMe } from "./me";

/** What a project's module is handed. */
export interface Host {
  /** Where to draw. Nothing else of the page is the module's. */
  element: HTMLElement;
  /** GET of the API below /api/v1: `host.ask("/jobs", { limit: 10 })`. Throws a problem with `body.remedy`. */
  ask: typeof ask;
  /** POST of the API. */
  act: typeof act;
  /** Go to a page of the dashboard: `host.go("/jobs/42")`. */
  go: (path: string) => void;
  permissions: string[];
  theme: () => "light" | "dark";
  /** Called when the theme changes. Returns the way to stop. */
  onTheme: (listener: () => void) => () => void;
}

/** What a project's module exports; what `mount` returns is called when the page is left. */
interface Guest {
  mount: (host: Host) => undefined | (() => void) | Promise<undefined | (() => void)>;
}

export function ProjectPage({ name }: { name: string }) {
  const { info, me } = useMe();
  const go = useGo();
  const area = useRef<HTMLDivElement>(null);
  const [broken, setBroken] = useState<unknown>(null);
  const page = info.pages.find((each) => each.path === `/${name}`);
  const source = page?.module;
  useEffect(() => {
    const element = area.current;
    if (source === undefined || element === null) return undefined;
    let leave: (() => void) | undefined;
    let isLeft = false;
    const permissions = me.permissions;
    const start = async () => {
      const address = new URL(source.startsWith("/") ? prefix + source : source, document.baseURI);
      if (address.origin !== window.location.origin) throw new Error(text.signing.foreignModule);
      const guest = (await import(/* @vite-ignore */ address.href)) as Guest;
      const left = await guest.mount({
        element,
        ask,
        act,
        go,
        permissions,
        theme: shownTheme,
        onTheme: subscribeToPreferences,
      });
      if (isLeft) left?.();
      else leave = left;
    };
    start().catch((thrown: unknown) => setBroken(thrown));
    return () => {
      isLeft = true;
      leave?.();
      element.replaceChildren();
    };
  }, [source, go, me.permissions]);
  if (!page) return <h1>{text.problem.notFound}</h1>;
  return (
    <Page title={page.title}>
      {broken !== null && <ProblemNote error={broken} />}
      <div ref={area} />
    </Page>
  );
}
