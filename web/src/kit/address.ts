// What a person sees is in the address: filters, tabs, the row that is open. Back goes back, and a link shows the same.
import { useCallback } from "react";
import { useLocation, useSearchParams } from "wouter";

/** One value of the query string: `const [range, setRange] = useAddress("range", "1h")`. */
export function useAddress(name: string, initial = ""): [string, (value: string, how?: { push?: boolean }) => void] {
  const [search, setSearch] = useSearchParams();
  const value = search.get(name) ?? initial;
  const set = useCallback(
    (next: string, how?: { push?: boolean }) => {
      setSearch(
        (before) => {
          const after = new URLSearchParams(before);
          if (next === "" || next === initial) after.delete(name);
          else after.set(name, next);
          // Another choice starts at the first page.
          if (name !== "cursor") after.delete("cursor");
          return after;
        },
        { replace: !(how?.push ?? false) },
      );
    },
    [name, initial, setSearch],
  );
  return [value, set];
}

/** Go to a page: `const go = useGo(); go("/jobs/42")`. */
export function useGo(): (to: string) => void {
  const [, navigate] = useLocation();
  return navigate;
}
