import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { stringify } from "../json";
import { text } from "../text";
import { IconButton } from "./Button";
import { notify, notifyProblem } from "./Notices";

/** Copy, also where the clipboard is closed to pages that came over plain http. */
export async function copyText(value: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(value);
  } catch {
    const field = document.createElement("textarea");
    field.value = value;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const worked = document.execCommand("copy");
    field.remove();
    if (!worked) {
      notifyProblem(new Error(text.shell.copyFailed));
      return;
    }
  }
  notify(text.shell.copied);
}

export function CopyButton({ value, label = text.shell.copy }: { value: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <IconButton
      label={label}
      icon={copied ? Check : Copy}
      onPress={() => {
        void copyText(value).then(() => {
          setCopied(true);
          window.setTimeout(() => setCopied(false), 1_500);
        });
      }}
    />
  );
}

/** Text as it is: a command, a traceback, JSON. Always text, never markup. */
export function Code({ children, wrap = false, label }: { children: string; wrap?: boolean; label?: string }) {
  return (
    <div className={wrap ? "code wrap" : "code"}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <pre tabIndex={0} role="group" aria-label={label ?? text.shell.code}>
        {children}
      </pre>
      <CopyButton value={children} />
    </div>
  );
}

/** Any JSON, indented. */
export function Json({ value, label }: { value: unknown; label?: string }) {
  return <Code label={label}>{stringify(value, 2)}</Code>;
}

/** JSON in one line, for a cell. */
export function inLine(value: unknown): string {
  return value === undefined ? "" : stringify(value);
}
