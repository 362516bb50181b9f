// The filter bar: the language of the command line's --filter, with suggestions of fields, operators and values.
import { Search, X } from "lucide-react";
import { type KeyboardEvent, useId, useRef, useState } from "react";
import { useRead } from "../api/reading";
import type { FilterField, Page } from "../api/types";
import { text } from "../text";
import { IconButton } from "./Button";
import { useKey } from "./keys";

interface FilterProps {
  value: string;
  onChange: (value: string) => void;
  /** Fields that this list has; "api" asks `GET /filter`. */
  fields?: FilterField[] | "api";
  placeholder?: string;
  invalid?: boolean;
}

interface Suggestion {
  insert: string;
  note: string;
}

/** Applied with Enter; the address keeps it. */
export function Filter({ value, onChange, fields = "api", placeholder, invalid }: FilterProps) {
  const [draft, setDraft] = useState({ of: value, text: value });
  const typed = draft.of === value ? draft.text : value;
  const [at, setAt] = useState(-1);
  const [isOpen, setOpen] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const answered = useRead<Page<FilterField>>("/filter", {}, { enabled: fields === "api", every: 0 });
  const known = fields === "api" ? (answered.data?.items ?? []) : fields;
  const caret = input.current?.selectionStart ?? typed.length;
  const { from, suggestions } = suggest(typed, caret, known);
  const shown = isOpen ? suggestions : [];
  const change = (next: string) => {
    setDraft({ of: value, text: next });
    setAt(-1);
  };
  const take = (suggestion: Suggestion) => {
    const isWhole = /[=<>~]$/.test(suggestion.insert) === false;
    const next =
      typed.slice(0, from) + suggestion.insert + (isWhole ? " " : "") + typed.slice(caret).replace(/^\S*\s*/, "");
    change(next);
    requestAnimationFrame(() => {
      const end = from + suggestion.insert.length + (isWhole ? 1 : 0);
      input.current?.setSelectionRange(end, end);
      setDraft((before) => ({ ...before }));
    });
  };
  const apply = (next: string) => {
    setOpen(false);
    onChange(next.trim());
    setDraft({ of: next.trim(), text: next.trim() });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const chosen = shown[at];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((before) => (suggestions.length === 0 ? -1 : (before + step + suggestions.length) % suggestions.length));
    } else if ((event.key === "Enter" || event.key === "Tab") && chosen) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Enter") {
      event.preventDefault();
      apply(typed);
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (isOpen && shown.length > 0) setOpen(false);
      else {
        change(value);
        input.current?.blur();
      }
    }
  };
  useKey("/", () => input.current?.focus(), text.shell.keys.filter, { group: "list", quiet: true });
  return (
    <search className="filter">
      <div className="box">
        <Search size={15} aria-hidden />
        <input
          ref={input}
          role="combobox"
          aria-label={text.lists.filter}
          aria-expanded={shown.length > 0}
          aria-controls={`${id}-list`}
          aria-activedescendant={shown[at] ? `${id}-${at}` : undefined}
          aria-autocomplete="list"
          aria-invalid={invalid || undefined}
          aria-describedby={`${id}-hint`}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          placeholder={placeholder ?? text.lists.filterPlaceholder}
          value={typed}
          onChange={(event) => {
            change(event.target.value);
            setOpen(true);
          }}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onKeyDown={onKeyDown}
        />
        {typed !== "" && <IconButton label={text.lists.filterClear} icon={X} onPress={() => apply("")} />}
      </div>
      <span id={`${id}-hint`} className="visually-hidden">
        {text.lists.filterHint}
      </span>
      {/* The list takes no focus: it belongs to the text field, which says which line is meant. */}
      <div
        id={`${id}-list`}
        role="listbox"
        aria-label={text.lists.suggestions}
        className="menu"
        hidden={shown.length === 0}
      >
        {shown.map((suggestion, index) => (
          <div
            key={suggestion.insert}
            id={`${id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            onMouseDown={(event) => {
              event.preventDefault();
              take(suggestion);
            }}
          >
            <code>{suggestion.insert}</code>
            <span className="end">{suggestion.note}</span>
          </div>
        ))}
      </div>
    </search>
  );
}

const MOST = 12;

/** What may stand at the caret: a field, then its operators, then values that are known. */
export function suggest(
  typed: string,
  caret: number,
  fields: FilterField[],
): { from: number; suggestions: Suggestion[] } {
  const before = typed.slice(0, caret);
  const from = before.search(/\S*$/);
  const word = before.slice(from);
  const parts = /^([A-Za-z_][\w.-]*)(!=|!~|<=|>=|=|~|<|>)?(.*)$/.exec(word);
  const name = parts?.[1] ?? "";
  const field = fields.find((each) => each.name === name || (each.name === "args" && name.startsWith("args.")));
  let found: Suggestion[];
  if (parts?.[2] !== undefined && field) {
    const list = (parts[3] ?? "").split(",");
    const last = list.pop() ?? "";
    const start = name + parts[2] + list.map((value) => `${value},`).join("");
    found = (field.values ?? [])
      .filter((value) => value.toLowerCase().includes(last.toLowerCase()) && value !== last)
      .map((value) => ({ insert: start + (/[\s",]/.test(value) ? JSON.stringify(value) : value), note: "" }));
  } else if (field && word === name) {
    found = field.operators.map((operator) => ({ insert: name + operator, note: field.meaning ?? "" }));
  } else {
    found = fields
      .filter(
        (each) => each.name.startsWith(word.toLowerCase()) || (word !== "" && each.name.includes(word.toLowerCase())),
      )
      .map((each) => ({
        insert: each.name === "args" ? "args." : `${each.name}${each.operators[0] ?? "="}`,
        note: each.meaning ?? "",
      }));
  }
  return { from, suggestions: found.slice(0, MOST) };
}
