// Ctrl-K: a page, a job by its id, a queue, or anything that has a key on this page.
import { CornerDownLeft, Hash, Layers, type LucideIcon, Search, Zap } from "lucide-react";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { Dialog } from "react-aria-components/Dialog";
import { Modal, ModalOverlay } from "react-aria-components/Modal";
import { query } from "../address";
import { useRead } from "../api/reading";
import { useGo } from "../kit/address";
import { useKeys } from "../kit/keys";
import { term } from "../kit/Link";
import { pages } from "../pages";
import { text } from "../text";
import { nextTheme, signOut, toggleDensity, togglePause, toggleZone } from "./commands";
import { useMe } from "./me";

interface Entry {
  id: string;
  label: string;
  icon: LucideIcon;
  end?: string;
  run: () => void;
}

const MOST = 40;

export function Palette({ onClose, onHelp }: { onClose: () => void; onHelp: () => void }) {
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const entries = useEntries(typed, onHelp);
  const chosen = Math.min(at, entries.length - 1);
  useEffect(() => {
    list.current?.querySelector(`[data-index="${chosen}"]`)?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const run = (entry: Entry | undefined) => {
    if (!entry) return;
    onClose();
    // After the dialog is gone, so that what is opened gets the focus.
    window.setTimeout(entry.run, 0);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (entries.length > 0) setAt((chosen + step + entries.length) % entries.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(entries[chosen]);
    }
  };
  return (
    <ModalOverlay className="veiled" isOpen isDismissable onOpenChange={(open) => !open && onClose()}>
      <Modal className="dialog palette">
        <Dialog aria-label={text.shell.palette.title}>
          <div className="search">
            <Search size={17} aria-hidden />
            <input
              autoFocus
              role="combobox"
              aria-label={text.shell.palette.title}
              aria-expanded="true"
              aria-controls={`${id}-list`}
              aria-activedescendant={entries.length > 0 ? `${id}-${chosen}` : undefined}
              aria-autocomplete="list"
              autoComplete="off"
              spellCheck={false}
              placeholder={text.shell.palette.placeholder}
              value={typed}
              onChange={(event) => {
                setTyped(event.target.value);
                setAt(0);
              }}
              onKeyDown={onKeyDown}
            />
          </div>
          <div ref={list} id={`${id}-list`} role="listbox" aria-label={text.shell.palette.title} className="menu">
            {entries.map((entry, index) => (
              <div
                key={entry.id}
                id={`${id}-${index}`}
                data-index={index}
                role="option"
                tabIndex={-1}
                aria-selected={index === chosen}
                onMouseDown={(event) => event.preventDefault()}
                onClick={() => run(entry)}
                onKeyDown={() => {}}
              >
                <entry.icon size={15} aria-hidden />
                {entry.label}
                {entry.end && <kbd className="end">{entry.end}</kbd>}
              </div>
            ))}
          </div>
          {entries.length === 0 && <p className="nothing">{text.shell.palette.nothing}</p>}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

function useEntries(typed: string, onHelp: () => void): Entry[] {
  const go = useGo();
  const { me, info, may } = useMe();
  const keys = useKeys();
  const queues = useRead<{ items: { name: string }[] }>(
    "/queues",
    { limit: 200 },
    { every: 0, enabled: may("queues:read") },
  );
  const wanted = typed.trim().toLowerCase();
  const words = text.shell.palette;
  const entries: Entry[] = [
    ...keys
      .filter((entry) => entry.group === "page" && !entry.quiet)
      .map((entry) => ({ id: `key-${entry.keys}`, label: entry.label, icon: Zap, end: entry.keys, run: entry.run })),
    ...pages
      .filter((page) => page.group && (!page.needs || may(page.needs)))
      .map((page) => ({
        id: page.path,
        label: text.shell.pages[page.name],
        icon: page.icon ?? CornerDownLeft,
        end: page.key && `g ${page.key}`,
        run: () => go(page.path),
      })),
    ...info.pages.map((page) => ({
      id: `project-${page.path}`,
      label: page.title,
      icon: CornerDownLeft,
      run: () => go(`/pages${page.path}`),
    })),
    ...(queues.data?.items ?? []).map((queue) => ({
      id: `queue-${queue.name}`,
      label: words.queue(queue.name),
      icon: Layers,
      run: () => go(`/queue${query({ name: queue.name })}`),
    })),
    { id: "theme", label: words.theme, icon: Zap, end: "t", run: nextTheme },
    { id: "zone", label: words.zone, icon: Zap, run: toggleZone },
    { id: "density", label: words.density, icon: Zap, run: toggleDensity },
    { id: "pause", label: words.pause, icon: Zap, end: "p", run: togglePause },
    { id: "help", label: words.help, icon: Zap, end: "?", run: onHelp },
    ...(me.kind === "session" ? [{ id: "out", label: words.signOut, icon: Zap, run: () => void signOut() }] : []),
  ].filter((entry) => wanted === "" || entry.label.toLowerCase().includes(wanted));
  if (/^\d+$/.test(wanted)) {
    entries.unshift({ id: "job", label: words.job(wanted), icon: Hash, run: () => go(`/jobs/${wanted}`) });
  } else if (wanted !== "" && may("jobs:read")) {
    entries.push({
      id: "search",
      label: words.search(typed.trim()),
      icon: Search,
      run: () => go(`/jobs${query({ filter: term("task", typed.trim(), "~") })}`),
    });
  }
  return entries.slice(0, MOST);
}
