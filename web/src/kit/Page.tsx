// The frame of every page: its title, how old it is, its buttons.

import { RotateCw } from "lucide-react";
import { type ReactNode, useEffect } from "react";
import { lookAgain } from "../api/reading";
import { text } from "../text";
import { IconButton } from "./Button";
import { Go } from "./Link";
import { Age, useIsStale } from "./Time";

interface PageProps {
  title: string;
  /** Beside the title: a state. */
  badge?: ReactNode;
  /** Where one comes from: `[["Jobs", "/jobs"]]`. */
  trail?: [string, string][];
  about?: ReactNode;
  /** `dataUpdatedAt` of what the page is about. */
  at?: number;
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, badge, trail, about, at, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · ${text.shell.product}`;
  }, [title]);
  const stale = useIsStale(at ?? 0);
  return (
    <>
      <div className="page-head">
        {trail && (
          <nav className="crumb" aria-label={text.shell.trail}>
            {trail.map(([name, to]) => (
              <Go key={to} to={to}>
                {name}
              </Go>
            ))}
          </nav>
        )}
        <h1 className="anywhere">{title}</h1>
        {badge}
        <div className="end">
          {at !== undefined && <Freshness at={at} />}
          {actions}
        </div>
        {about && <p className="about">{about}</p>}
      </div>
      <div className="stack loose fresh" data-stale={stale || undefined}>
        {children}
      </div>
    </>
  );
}

function Freshness({ at }: { at: number }) {
  return (
    <>
      <Age at={at} />
      <IconButton label={text.shell.refresh} icon={RotateCw} onPress={lookAgain} />
    </>
  );
}
