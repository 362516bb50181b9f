// One stream of server-sent events for all tabs of this browser.
//
// Browsers allow six connections to one origin over HTTP/1.1, and a stream holds one for ever. So the visible tabs
// compete for a lock; who has it holds the stream and tells the others over a BroadcastChannel. A hidden tab gives the
// lock back. Where there are no locks (plain http from another machine), every visible tab has a stream of its own.
// Where no stream gets through, everybody asks every few seconds instead: see reading.ts.
import { useSyncExternalStore } from "react";
import { apiAddress } from "../address";
import { synchronise } from "../clock";
import { currentPreferences, subscribeToPreferences } from "../preferences";

export type Mode = "connecting" | "live" | "reconnecting" | "polling" | "paused";

export interface StreamState {
  mode: Mode;
  /** When the next try is, milliseconds of this browser's clock; 0 when unknown. */
  retryAt: number;
}

/** Something has changed: a topic and perhaps the id of what. */
export interface Patch {
  topic: string;
  id?: string;
  data?: unknown;
}

type Message =
  | { kind: "event"; name: string; data: unknown }
  | { kind: "state"; state: StreamState }
  | { kind: "topics"; tab: string; topics: string[] }
  | { kind: "who" };

const ALWAYS = ["stats", "jobs", "queues", "workers", "schedules", "failures", "operations", "events", "projections"];
const EVENTS = ["hello", "stats", "patch", "reset", "bye"];
const TRIES_BEFORE_POLLING = 3;
const LONGEST_PAUSE_MILLISECONDS = 30_000;
const LOCK = "holdfast.stream";

class Stream {
  private state: StreamState = { mode: "connecting", retryAt: 0 };
  private readonly stateListeners = new Set<() => void>();
  private readonly patchListeners = new Set<(patch: Patch) => void>();
  private readonly resetListeners = new Set<() => void>();
  private readonly tab = Math.random().toString(36).slice(2);
  private readonly channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(LOCK);
  private readonly wanted = new Map<string, number>();
  private readonly wantedElsewhere = new Map<string, string[]>();
  private source: EventSource | null = null;
  private openTopics = "";
  private failures = 0;
  private retry: number | undefined;
  private topicsTimer: number | undefined;
  private release: (() => void) | null = null;
  private standing: AbortController | null = null;
  private started = false;
  private wasLive = false;

  start(): void {
    if (this.started) return;
    this.started = true;
    this.channel?.addEventListener("message", (event: MessageEvent<Message>) => this.heard(event.data));
    document.addEventListener("visibilitychange", () => this.decide());
    window.addEventListener("pagehide", () => this.stand(false));
    window.addEventListener("online", () => this.decide());
    subscribeToPreferences(() => this.decide());
    this.decide();
  }

  /** Close everything: nobody is signed in. */
  stop(): void {
    this.started = false;
    this.stand(false);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  };

  readonly current = (): StreamState => this.state;

  onPatch(listener: (patch: Patch) => void): () => void {
    this.patchListeners.add(listener);
    return () => this.patchListeners.delete(listener);
  }

  /** Called when what came before may be incomplete: everything on the page has to be read again. */
  onReset(listener: () => void): () => void {
    this.resetListeners.add(listener);
    return () => this.resetListeners.delete(listener);
  }

  /** Ask for a topic beside those that are always there: `job:42` alone. Returns the way to give it back. */
  want(topic: string): () => void {
    this.wanted.set(topic, (this.wanted.get(topic) ?? 0) + 1);
    this.topicsChanged();
    return () => {
      const left = (this.wanted.get(topic) ?? 1) - 1;
      if (left > 0) this.wanted.set(topic, left);
      else this.wanted.delete(topic);
      this.topicsChanged();
    };
  }

  private decide(): void {
    if (!this.started) return;
    if (document.visibilityState === "hidden" || currentPreferences().paused) {
      this.stand(false);
      this.say({ mode: "paused", retryAt: 0 });
      return;
    }
    if (this.state.mode === "paused") {
      this.say({ mode: "connecting", retryAt: 0 });
      this.reset();
    }
    this.stand(true);
  }

  /** Compete for the stream, or stop doing so. */
  private stand(yes: boolean): void {
    if (!yes) {
      this.standing?.abort();
      this.standing = null;
      this.release?.();
      this.release = null;
      this.close();
      this.send({ kind: "topics", tab: this.tab, topics: [] });
      return;
    }
    if (this.standing !== null) return;
    this.standing = new AbortController();
    if (navigator.locks === undefined || this.channel === null) {
      this.open();
      return;
    }
    this.send({ kind: "topics", tab: this.tab, topics: [...this.wanted.keys()] });
    this.send({ kind: "who" });
    navigator.locks
      .request(LOCK, { signal: this.standing.signal }, () => {
        if (this.standing === null) return undefined;
        this.open();
        return new Promise<void>((resolve) => {
          this.release = resolve;
        });
      })
      .catch(() => {
        // Aborted: this tab was hidden while it waited.
      });
  }

  private get leads(): boolean {
    return this.source !== null || this.retry !== undefined;
  }

  private topics(): string {
    const all = new Set([...ALWAYS, ...this.wanted.keys(), ...[...this.wantedElsewhere.values()].flat()]);
    return [...all].sort().join(",");
  }

  private topicsChanged(): void {
    this.send({ kind: "topics", tab: this.tab, topics: [...this.wanted.keys()] });
    window.clearTimeout(this.topicsTimer);
    this.topicsTimer = window.setTimeout(() => {
      if (this.source !== null && this.topics() !== this.openTopics) this.open();
    }, 300);
  }

  private open(): void {
    this.close();
    this.openTopics = this.topics();
    const source = new EventSource(apiAddress("/stream", { topics: this.openTopics }));
    this.source = source;
    source.addEventListener("open", () => {
      this.failures = 0;
      this.share({ mode: "live", retryAt: 0 });
    });
    source.addEventListener("error", () => this.broke(source));
    for (const name of EVENTS) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        let data: unknown = null;
        try {
          data = JSON.parse(event.data);
        } catch {
          // An event without data says all by its name.
        }
        this.take(name, data);
        this.send({ kind: "event", name, data });
      });
    }
  }

  private close(): void {
    window.clearTimeout(this.retry);
    this.retry = undefined;
    this.source?.close();
    this.source = null;
  }

  /** The browser comes back by itself and says what it had last, unless it was refused: then we try anew. */
  private broke(source: EventSource): void {
    if (this.source !== source) return;
    this.failures += 1;
    const isPolling = this.failures >= TRIES_BEFORE_POLLING;
    if (source.readyState !== EventSource.CLOSED) {
      this.share({ mode: isPolling ? "polling" : "reconnecting", retryAt: 0 });
      return;
    }
    this.close();
    const pause = Math.min(LONGEST_PAUSE_MILLISECONDS, 500 * 2 ** this.failures) * (0.7 + Math.random() * 0.6);
    this.share({ mode: isPolling ? "polling" : "reconnecting", retryAt: Date.now() + pause });
    this.retry = window.setTimeout(() => this.open(), pause);
  }

  private heard(message: Message): void {
    if (message.kind === "who") {
      if (this.leads) this.send({ kind: "state", state: this.state });
      this.send({ kind: "topics", tab: this.tab, topics: [...this.wanted.keys()] });
    } else if (message.kind === "topics") {
      if (message.topics.length > 0) this.wantedElsewhere.set(message.tab, message.topics);
      else this.wantedElsewhere.delete(message.tab);
      if (this.source !== null && message.topics.some((topic) => !this.openTopics.split(",").includes(topic))) {
        window.clearTimeout(this.topicsTimer);
        this.topicsTimer = window.setTimeout(() => this.open(), 300);
      }
    } else if (!this.leads && this.state.mode !== "paused") {
      if (message.kind === "state") this.say(message.state);
      else this.take(message.name, message.data);
    }
  }

  private take(name: string, data: unknown): void {
    const fields = typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
    if (name === "hello") {
      if (typeof fields.server_time === "string") synchronise(fields.server_time);
      if (this.state.mode !== "live") this.say({ mode: "live", retryAt: 0 });
      // What happened in between was not heard: the first time there is nothing in between.
      if (this.wasLive && fields.resumed !== true) this.reset();
      this.wasLive = true;
    } else if (name === "reset") {
      this.reset();
    } else if (name === "stats") {
      this.tell({ topic: "stats", data });
    } else if (name === "patch") {
      const topic = typeof fields.topic === "string" ? fields.topic : "jobs";
      this.tell({ topic, id: fields.id === undefined ? undefined : String(fields.id), data });
    } else if (name === "bye") {
      // The server drains: another one, or its successor, is there in a moment, and the browser comes back by itself.
      this.say({ mode: "reconnecting", retryAt: 0 });
      // Somebody signed us out: read something, and the answer says so.
      if (fields.because === "signed out") this.reset();
    }
  }

  private tell(patch: Patch): void {
    for (const listener of this.patchListeners) listener(patch);
  }

  private reset(): void {
    for (const listener of this.resetListeners) listener();
  }

  private share(state: StreamState): void {
    this.say(state);
    this.send({ kind: "state", state });
  }

  private say(state: StreamState): void {
    this.state = state;
    for (const listener of this.stateListeners) listener();
  }

  private send(message: Message): void {
    this.channel?.postMessage(message);
  }
}

export const stream = new Stream();

/** How what is on the page is kept fresh. */
export function useStream(): StreamState {
  return useSyncExternalStore(stream.subscribe, stream.current);
}
