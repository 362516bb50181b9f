import { type ReactNode, useId } from "react";

interface PanelProps {
  title?: ReactNode;
  end?: ReactNode;
  /** For tables: no padding around them. */
  flush?: boolean;
  children: ReactNode;
}

/** A part of a page with its heading. */
export function Panel({ title, end, flush, children }: PanelProps) {
  const id = useId();
  return (
    <section className={flush ? "panel flush" : "panel"} aria-labelledby={title ? id : undefined}>
      {title && (
        <header>
          <h2 id={id}>{title}</h2>
          {end && <div className="end row">{end}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

/** Names and values: `<Facts of={[["Queue", <…/>], ["Lane", null]]} />`. What is null, undefined or "" is left out. */
export function Facts({ of }: { of: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {of
        .filter(([, value]) => value !== null && value !== undefined && value !== "")
        .map(([name, value]) => (
          <FactRow key={name} name={name}>
            {value}
          </FactRow>
        ))}
    </dl>
  );
}

function FactRow({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** Nothing here yet: why, and how to change that. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** How much is done. */
export function Meter({
  value,
  max,
  label,
  children,
}: {
  value: number;
  max: number;
  label: string;
  children?: ReactNode;
}) {
  return (
    <span className="meter">
      <progress value={Math.min(value, max)} max={max || 1} aria-label={label} />
      {children && <span className="nowrap small">{children}</span>}
    </span>
  );
}
