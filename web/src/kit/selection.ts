import { useCallback, useMemo, useState } from "react";

export interface Selection {
  ids: string[];
  has: (id: string) => boolean;
  toggle: (id: string) => void;
  /** From the row that was chosen last to this one. */
  range: (order: string[], id: string) => void;
  /** All of these; if all are chosen already, none. */
  all: (order: string[]) => void;
  clear: () => void;
}

/** Which rows are chosen. */
export function useSelection(): Selection {
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [last, setLast] = useState<string | null>(null);
  const clear = useCallback(() => setChosen(new Set()), []);
  return useMemo(
    () => ({
      ids: [...chosen],
      has: (id) => chosen.has(id),
      toggle: (id) => {
        setLast(id);
        setChosen((before) => {
          const after = new Set(before);
          if (!after.delete(id)) after.add(id);
          return after;
        });
      },
      range: (order, id) => {
        const from = order.indexOf(last ?? id);
        const to = order.indexOf(id);
        if (to < 0) return;
        const start = from < 0 ? to : Math.min(from, to);
        setLast(id);
        setChosen((before) => new Set([...before, ...order.slice(start, Math.max(from, to) + 1)]));
      },
      all: (order) => setChosen((before) => (order.every((id) => before.has(id)) ? new Set() : new Set(order))),
      clear,
    }),
    [chosen, last, clear],
  );
}
