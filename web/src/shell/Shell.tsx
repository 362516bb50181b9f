import { Suspense, useEffect, useRef, useState } from "react";
import { Route, Switch, useLocation } from "wouter";
import { keepFresh, lookAgain } from "../api/reading";
import { useGo } from "../kit/address";
import { listenToKeys, register, useKey } from "../kit/keys";
import { Notices } from "../kit/Notices";
import { stream } from "../live/stream";
import { pages } from "../pages";
import type { PageEntry } from "../pages/registry";
import { text } from "../text";
import { Boundary } from "./Boundary";
import { nextTheme, togglePause } from "./commands";
import { HelpDialog, SettingsDialog } from "./Help";
import { useMe } from "./me";
import { Nav } from "./Nav";
import { Palette } from "./Palette";
import { ProjectPage } from "./ProjectPage";
import { TopBar } from "./TopBar";

type Open = "palette" | "help" | "settings" | null;

export function Shell() {
  const { info } = useMe();
  const [open, setOpen] = useState<Open>(null);
  const [isNavOpen, setNavOpen] = useState(false);
  const [path] = useLocation();
  const main = useRef<HTMLElement>(null);
  useLife();
  useGlobalKeys(setOpen);
  const first = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: on another page, not on another filter
  useEffect(() => {
    setNavOpen(false);
    if (first.current) {
      first.current = false;
      return;
    }
    // Another page: who reads with their ears starts at its beginning.
    main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [path]);
  const close = () => setOpen(null);
  return (
    <div className="shell">
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        {text.shell.skip}
      </button>
      <TopBar
        isNavOpen={isNavOpen}
        onNav={() => setNavOpen(!isNavOpen)}
        onPalette={() => setOpen("palette")}
        onHelp={() => setOpen("help")}
        onSettings={() => setOpen("settings")}
      />
      <Nav isOpen={isNavOpen} />
      <button
        type="button"
        className="veil"
        data-open={isNavOpen || undefined}
        aria-label={text.shell.closeMenu}
        onClick={() => setNavOpen(false)}
      />
      <main className="main" id="main" ref={main} tabIndex={-1}>
        <Boundary at={path}>
          <Suspense fallback={<p className="quiet">{text.shell.loading}</p>}>
            <Switch>
              {pages.map((page) => (
                <Route key={page.path} path={page.path}>
                  <Guarded page={page} />
                </Route>
              ))}
              <Route path="/pages/:name">{({ name }) => <ProjectPage name={name} />}</Route>
              <Route>
                <Nowhere />
              </Route>
            </Switch>
          </Suspense>
        </Boundary>
      </main>
      {open === "palette" && <Palette onClose={close} onHelp={() => setOpen("help")} />}
      {open === "help" && <HelpDialog onClose={close} onSettings={() => setOpen("settings")} />}
      {open === "settings" && (
        <SettingsDialog onClose={close} least={info.stream.min_seconds} most={info.stream.max_seconds} />
      )}
      <Notices />
    </div>
  );
}

function Guarded({ page }: { page: PageEntry }) {
  const { may } = useMe();
  if (page.needs && !may(page.needs)) {
    return (
      <div className="stack">
        <h1>{text.problem.forbidden}</h1>
        <p>{text.problem.forbiddenDetail(page.needs)}</p>
        <p>{text.problem.forbiddenRemedy}</p>
      </div>
    );
  }
  return <page.Component />;
}

function Nowhere() {
  return (
    <div className="stack">
      <h1>{text.problem.notFound}</h1>
      <p>{text.problem.notFoundDetail}</p>
    </div>
  );
}

/** The stream, the keyboard and the cache live as long as the shell. */
function useLife(): void {
  useEffect(() => {
    stream.start();
    const stops = [keepFresh(), listenToKeys()];
    return () => {
      stream.stop();
      for (const stop of stops) stop();
    };
  }, []);
}

function useGlobalKeys(setOpen: (open: Open) => void): void {
  const go = useGo();
  const words = text.shell.keys;
  const anywhere = { group: "anywhere" as const, quiet: true };
  useKey("Mod+k", () => setOpen("palette"), words.palette, anywhere);
  useKey("?", () => setOpen("help"), words.help, anywhere);
  useKey(".", lookAgain, words.refresh, anywhere);
  useKey("p", togglePause, words.pause, anywhere);
  useKey("t", nextTheme, words.theme, anywhere);
  useKey("Escape", () => window.history.length > 1 && window.history.back(), words.escape, anywhere);
  const { may } = useMe();
  useGoKeys(go, may);
}

function useGoKeys(go: (path: string) => void, may: (permission: string) => boolean): void {
  useEffect(() => {
    const stops = pages
      .filter((page) => page.key && (!page.needs || may(page.needs)))
      .map((page) => registerGo(page.key ?? "", text.shell.pages[page.name], () => go(page.path)));
    return () => {
      for (const stop of stops) stop();
    };
  }, [go, may]);
}

function registerGo(key: string, label: string, run: () => void): () => void {
  return register({ keys: `g ${key}`, label, group: "go", run, quiet: true });
}
