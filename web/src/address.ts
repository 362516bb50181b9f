// Where this page and its API are: the server writes the prefix it is mounted under into the page.

const written = document.querySelector<HTMLMetaElement>('meta[name="holdfast-prefix"]')?.content ?? "";

/** The prefix without a slash at its end; "" at the root, and when Vite serves the page. */
export const prefix = written.startsWith("__") ? "" : written.replace(/\/+$/, "");

export type Parameters = Record<string, string | number | boolean | null | undefined>;

/** Parameters as a query string with its question mark; empty ones are left out. */
export function query(parameters: Parameters = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}

/** The address of something of the API: `apiAddress("/jobs", {limit: 50})`. */
export function apiAddress(path: string, parameters: Parameters = {}): string {
  return `${prefix}/api/v1${path}${query(parameters)}`;
}

/** The address of a page below the prefix, for `href`: `pageAddress("/jobs", {filter: "state=failed"})`. */
export function pagePath(path: string, parameters: Parameters = {}): string {
  return `${path}${query(parameters)}`;
}
