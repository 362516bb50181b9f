// What a page is. Each stands in a file of its own and has one line in index.ts.
import type { LucideIcon } from "lucide-react";
import { type ComponentType, type LazyExoticComponent, lazy } from "react";
import type { Permission, Tiles } from "../api/types";
import type { text } from "../text";

export type PageName = keyof typeof text.shell.pages;
export type Group = "now" | "work" | "log" | "machine" | "control";

export interface PageEntry {
  /** "/jobs", or with a parameter "/jobs/:id": ids in paths, names in the query string. */
  path: string;
  name: PageName;
  /** In the navigation under this heading; without one the page is reached by links. */
  group?: Group;
  icon?: LucideIcon;
  /** Who may not do this does not see the page in the navigation. */
  needs?: Permission;
  /** `g` and then this key goes there. */
  key?: string;
  /** A number beside its name, out of the tiles of the stream. */
  badge?: keyof Tiles;
  Component: LazyExoticComponent<ComponentType>;
}

const RELOADED = "holdfast.reloaded";

/**
 * Load a page's code when it is opened. After a deploy the old names of chunks are gone: the page reloads itself, once,
 * and then has the new names.
 */
export function afterDeploy<T>(load: () => Promise<T>): () => Promise<T> {
  return async () => {
    try {
      const loaded = await load();
      sessionStorage.removeItem(RELOADED);
      return loaded;
    } catch (thrown) {
      if (sessionStorage.getItem(RELOADED) === null) {
        sessionStorage.setItem(RELOADED, String(Date.now()));
        window.location.reload();
        return new Promise(() => {});
      }
      throw thrown;
    }
  };
}

export function page(
  path: string,
  name: PageName,
  load: () => Promise<{ default: ComponentType }>,
  rest: Omit<PageEntry, "path" | "name" | "Component"> = {},
): PageEntry {
  return { path, name, ...rest, Component: lazy(afterDeploy(load)) };
}
