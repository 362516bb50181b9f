// The few figures that every page shows: badges of the navigation and the verdict pill. They come with the stream;
// without it they are asked for.
import { useQuery } from "@tanstack/react-query";
import { client, useRead } from "../api/reading";
import type { Stats, Tiles, Verdict } from "../api/types";
import { useMe } from "../shell/me";

/** What the stream said last, and when it came (milliseconds of this browser's clock); 0: nothing yet. */
export function useStats(): { stats: Stats | null; at: number } {
  const { data, dataUpdatedAt } = useQuery<Stats | null>({
    queryKey: ["stats"],
    queryFn: () => client.getQueryData<Stats>(["stats"]) ?? null,
    staleTime: Number.POSITIVE_INFINITY,
    initialData: null,
  });
  return { stats: data ?? null, at: data ? dataUpdatedAt : 0 };
}

/** The newest tiles of the stream. */
export function useTiles(): Tiles | null {
  return useStats().stats?.tiles ?? null;
}

/** Whether the system makes progress, and why not. */
export function useVerdict() {
  const { may } = useMe();
  return useRead<Verdict>("/verdict", {}, { topics: ["verdict"], every: 60, enabled: may("stats:read") });
}
