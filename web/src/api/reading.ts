// How pages read: cached, kept fresh by the stream, by polling where there is none, and not at all while paused.
import { type Query, QueryClient, type QueryKey, useMutation, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Parameters } from "../address";
import { stream, useStream } from "../live/stream";
import { currentPreferences, usePreferences } from "../preferences";
import { act, ask } from "./client";
import { type Problem, problemOf } from "./problem";
import type { Stats } from "./types";

/** With a live stream a look now and then is enough: for what no event tells, and to show that the data is fresh. */
const LOOK_WHILE_LIVE_MILLISECONDS = 10_000;
const COALESCE_MILLISECONDS = 400;

export const client = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) => count < 2 && problemOf(error).isTransient,
      retryDelay: (count) => Math.min(1_000 * 2 ** count, 10_000),
      staleTime: 1_000,
      refetchOnWindowFocus: () => !currentPreferences().paused,
    },
  },
});

/** Connect the cache with the stream: what an event names is read again, many events in a row once. */
export function keepFresh(): () => void {
  const topics = new Set<string>();
  let timer: number | undefined;
  const refresh = () => {
    timer = undefined;
    const changed = [...topics];
    topics.clear();
    void client.invalidateQueries({
      predicate: (query) => {
        const listening = (query.meta?.topics as string[] | undefined) ?? [];
        return isThere(query) && listening.some((topic) => changed.includes(topic));
      },
    });
  };
  const stopPatches = stream.onPatch((patch) => {
    if (patch.topic === "stats") {
      takeFigures(patch.data as Stats);
      return;
    }
    topics.add(patch.topic);
    if (patch.id !== undefined && !patch.topic.includes(":"))
      topics.add(`${patch.topic.replace(/s$/, "")}:${patch.id}`);
    timer ??= window.setTimeout(refresh, COALESCE_MILLISECONDS);
  });
  const stopResets = stream.onReset(readAgain);
  return () => {
    stopPatches();
    stopResets();
    window.clearTimeout(timer);
  };
}

/** The figures that come with the stream: what shows them is right at once, and nobody has to ask. */
function takeFigures(stats: Stats): void {
  client.setQueryData(["stats"], stats);
  if (stats.verdict) client.setQueryData(keyOf("/verdict"), stats.verdict);
}

export interface ReadOptions {
  /** Events of the stream after which to read again: "jobs", "job:42", "operations". */
  topics?: string[];
  /** Seconds between looks that are worth it while the stream is live; 0 for what never changes by itself. */
  every?: number;
  enabled?: boolean;
  /** Show what was there while other parameters are read: lists do not flash when the filter changes. */
  keep?: boolean;
}

/** GET and keep fresh. `useRead<Job>("/jobs/42", {}, { topics: ["job:42"] })`. */
export function useRead<T>(path: string, parameters: Parameters = {}, options: ReadOptions = {}) {
  const { mode } = useStream();
  const { pollSeconds, paused } = usePreferences();
  const { topics = [], every, enabled = true, keep = false } = options;
  const interval = mode === "live" ? (every === undefined ? LOOK_WHILE_LIVE_MILLISECONDS : every * 1000) : undefined;
  const own = topics.filter((topic) => topic.startsWith("job:")).join(",");
  useEffect(() => {
    if (own === "" || !enabled) return undefined;
    const back = own.split(",").map((topic) => stream.want(topic));
    return () => {
      for (const each of back) each();
    };
  }, [own, enabled]);
  return useQuery<T, Problem>({
    queryKey: keyOf(path, parameters),
    queryFn: async ({ signal }) => {
      try {
        return await ask<T>(path, parameters, signal);
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        throw problemOf(thrown);
      }
    },
    meta: { topics },
    enabled,
    // What is gone does not come back: nobody asks for it again but a person.
    refetchInterval: (query) =>
      paused || every === 0 || isGone(query.state.error)
        ? false
        : (interval ?? Math.max(pollSeconds, every ?? 0) * 1000),
    placeholderData: keep ? (previous) => previous : undefined,
  });
}

/** Whether the server knows nothing (any more) of what was asked for. */
export function isGone(problem: Problem | null): boolean {
  return problem?.status === 404;
}

/** What a person has deleted, by the path it was read from. */
const deleted = new Set<string>();

/**
 * Say that what is read from this path, and below it, is about to be deleted: its page may stand for a while, until the
 * next one has loaded, and must not ask for it. Call the answer if it was not deleted after all.
 */
export function forget(path: string): () => void {
  deleted.add(path);
  return () => void deleted.delete(path);
}

/** Whether it is worth asking for again. */
function isThere(query: Query): boolean {
  const path = String(query.queryKey[0]);
  return !isGone(query.state.error as Problem | null) && ![...deleted].some((one) => `${path}/`.startsWith(`${one}/`));
}

/** Read again whatever is shown and still there. */
export function readAgain(): void {
  void client.invalidateQueries({ predicate: isThere });
}

export function keyOf(path: string, parameters: Parameters = {}): QueryKey {
  return [path, parameters];
}

/** POST. After it everything that is shown is read again: an act may change more than what it names. */
export function useAct<Body, Answer = unknown>(path: string | ((body: Body) => string)) {
  return useMutation<Answer, Problem, Body>({
    mutationFn: async (body) => {
      try {
        return await act<Answer>(typeof path === "string" ? path : path(body), body);
      } catch (thrown) {
        throw problemOf(thrown);
      }
    },
    onSettled: readAgain,
  });
}

/** Read everything on the page again, now. */
export function lookAgain(): void {
  void client.invalidateQueries();
}
