import type { AnchorHTMLAttributes, ReactNode } from "react";
import { Link as Wouter } from "wouter";
import { type Parameters, query } from "../address";

interface GoProps extends Omit<AnchorHTMLAttributes<HTMLAnchorElement>, "href"> {
  /** A page below the prefix: "/jobs". */
  to: string;
  search?: Parameters;
  children: ReactNode;
}

/** A link to a page of this dashboard. Names travel in the query string: `<Go to="/queue" search={{ name }}>`. */
export function Go({ to, search, children, ...rest }: GoProps) {
  return (
    <Wouter href={to + query(search)} {...rest}>
      {children}
    </Wouter>
  );
}

/** A link out, only to http(s): what stands in a job may say javascript:. Anything else stays text. */
export function Outside({ href, children }: { href: string; children?: ReactNode }) {
  if (!/^https?:\/\//i.test(href)) return children ?? href;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children ?? href}
    </a>
  );
}

/** Where the noun with this id has its page; null for those without one. */
export function placeOf(kind: string, id: string): { to: string; search?: Parameters } | null {
  switch (kind) {
    case "job":
      return { to: `/jobs/${encodeURIComponent(id)}` };
    case "queue":
      return { to: "/queue", search: { name: id } };
    case "task":
      return { to: "/jobs", search: { filter: term("task", id) } };
    case "filter":
      return { to: "/jobs", search: { filter: id } };
    case "schedule":
      return { to: "/schedules", search: { name: id } };
    case "projection":
      return { to: "/projections", search: { name: id } };
    case "worker":
      return { to: "/workers", search: { id } };
    case "failure":
    case "fingerprint":
      return { to: "/failures", search: { fingerprint: id } };
    case "operation":
      return { to: "/operations", search: { id } };
    case "stream":
      return { to: "/events", search: { stream: id } };
    case "log":
    case "event":
      return { to: "/events" };
    case "database":
    case "backend":
      return { to: "/database" };
    case "limit":
      return { to: "/limits" };
    case "batch":
      return { to: "/batches", search: { id } };
    default:
      return null;
  }
}

/** A link to what is meant, or its name where it has no page. */
export function Subject({ kind, id, children }: { kind: string; id: string; children?: ReactNode }) {
  const place = placeOf(kind, id);
  const name = children ?? `${kind} ${id}`;
  return place ? <Go {...place}>{name}</Go> : <>{name}</>;
}

/** One term of the filter language; values with blanks, commas or quotes stand in quotes. */
export function term(field: string, value: string, operator = "="): string {
  return /^[^\s",]+$/.test(value)
    ? `${field}${operator}${value}`
    : `${field}${operator}"${value.replace(/["\\]/g, "\\$&")}"`;
}
