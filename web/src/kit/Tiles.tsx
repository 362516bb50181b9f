import type { ReactNode } from "react";
import type { Parameters } from "../address";
import type { Tone } from "./Badge";
import { Go } from "./Link";

export function Tiles({ children }: { children: ReactNode }) {
  return <div className="tiles">{children}</div>;
}

interface TileProps {
  name: string;
  value: ReactNode;
  note?: ReactNode;
  tone?: Tone;
  to?: string;
  search?: Parameters;
}

/** One figure; a link to what it counts. */
export function Tile({ name, value, note, tone, to, search }: TileProps) {
  const inside = (
    <>
      <span className="name">{name}</span>
      <span className="value">{value}</span>
      {note && <span className="note anywhere">{note}</span>}
    </>
  );
  return to ? (
    <Go to={to} search={search} className="tile" data-tone={tone}>
      {inside}
    </Go>
  ) : (
    <div className="tile" data-tone={tone}>
      {inside}
    </div>
  );
}
