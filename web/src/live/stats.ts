// The few figures that every page shows: badges of the navigation and the verdict pill. They come with the stream;
// without it they are asked for.
import { useQuery } from "@tanstack/react-query";
import { useRead } from "../api/reading";
import type { Verdict } from "../api/types";
import { useMe } from "../shell/me";

export interface Stats {
  verdict?: Verdict | null;
  /** Numbers by name: ready, running, failed_1h, … */
  [name: string]: unknown;
}

/** The newest figures of the stream. */
export function useStats(): Stats | undefined {
  const { data } = useQuery<Stats | null>({
    queryKey: ["stats"],
    queryFn: () => null,
    staleTime: Infinity,
    initialData: null,
  });
  return data ?? undefined;
}

/** Whether the system makes progress, and why not. */
export function useVerdict() {
  const { may } = useMe();
  return useRead<Verdict>("/verdict", {}, { topics: ["verdict"], every: 10, enabled: may("stats:read") });
}
