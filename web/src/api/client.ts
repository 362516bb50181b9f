// The only place that calls the API. Answers are typed by whoever asks: the types stand in types.ts.
import { apiAddress, type Parameters } from "../address";
import { parse, stringify } from "../json";
import { text } from "../text";
import { Problem, type ProblemBody } from "./problem";

// More than the longest act takes: a switch of projections waits 20 s.
const PATIENCE_MILLISECONDS = 30_000;

let csrfToken: string | null = null;
let onUnauthenticated: () => void = () => {};

/** What a session sends with everything that is no GET; `GET /me` says it. */
export function rememberCsrfToken(token: string | null): void {
  csrfToken = token;
}

/** Called when the API does not know us (any more). */
export function whenUnauthenticated(callback: () => void): void {
  onUnauthenticated = callback;
}

/** GET. Raises a Problem. */
export async function ask<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  return (await send("GET", apiAddress(path, parameters), undefined, signal)) as T;
}

/** POST: one act. `key` makes a repeated send the same act; without one each call is an act of its own. */
export async function act<T>(path: string, body: unknown = {}, key: string = freshKey()): Promise<T> {
  return (await send("POST", apiAddress(path), { body, key })) as T;
}

/** DELETE, for sessions. */
export async function remove(path: string): Promise<void> {
  await send("DELETE", apiAddress(path), { body: undefined, key: freshKey() });
}

/** A key nobody else uses. Not `crypto.randomUUID`, which plain http from another machine does not have. */
export function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

interface Write {
  body: unknown;
  key: string;
}

async function send(method: string, address: string, write?: Write, signal?: AbortSignal): Promise<unknown> {
  const headers: Record<string, string> = { Accept: "application/json, application/problem+json" };
  if (write !== undefined) {
    headers["Idempotency-Key"] = write.key;
    if (csrfToken !== null) headers["X-CSRF-Token"] = csrfToken;
    if (write.body !== undefined) headers["Content-Type"] = "application/json";
  }
  const deadline = AbortSignal.timeout(PATIENCE_MILLISECONDS);
  let answer: Response;
  try {
    answer = await fetch(address, {
      method,
      headers,
      credentials: "same-origin",
      body: write?.body === undefined ? undefined : stringify(write.body),
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    });
  } catch (thrown) {
    if (signal?.aborted) throw thrown;
    throw new Problem({
      title: text.problem.unreachable,
      status: 0,
      code: "unreachable",
      detail: deadline.aborted ? text.problem.tooSlow : text.problem.noAnswer,
      remedy: text.problem.unreachableRemedy,
    });
  }
  if (answer.status === 204) return undefined;
  if (answer.ok) return parse(await answer.text());
  const problem = await problemFrom(answer);
  if (problem.status === 401) onUnauthenticated();
  throw problem;
}

async function problemFrom(answer: Response): Promise<Problem> {
  let body: Partial<ProblemBody> = {};
  if ((answer.headers.get("content-type") ?? "").includes("json")) {
    try {
      body = (await answer.json()) as Partial<ProblemBody>;
    } catch {
      // A proxy that calls its page JSON: the status has to do.
    }
  }
  return new Problem({
    ...body,
    title: body.title ?? text.problem.status(answer.status),
    status: answer.status,
    code: body.code ?? "http",
  });
}
