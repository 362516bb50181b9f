// The few figures that every page shows: badges of the navigation and the verdict pill. They come with the stream;
// without it they are asked for.
import { useQuery } from "@tanstack/react-query";
import { client, useRead } from "../api/reading";
import type { Stats, Tiles, Verdict } from "../api/types";
import { useMe } from "../shell/me";

/** The newest tiles of the stream. */
export function useTiles(): Tiles | null {
  const { data } = useQuery<Stats | null>({
    queryKey: ["stats"],
    queryFn: () => client.getQueryData<Stats>(["stats"]) ?? null,
    staleTime: Number.POSITIVE_INFINITY,
    initialData: null,
  });
  return data?.tiles ?? null;
}

/** Whether the system makes progress, and why not. */
export function useVerdict() {
  const { may } = useMe();
  return useRead<Verdict>("/verdict", {}, { topics: ["verdict"], every: 60, enabled: may("stats:read") });
}
