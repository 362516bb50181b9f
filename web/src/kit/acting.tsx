// Buttons for what is legal now: exactly the verbs in `actions` of an object, as the API says them.
import type { LucideIcon } from "lucide-react";
import { useCallback, useState } from "react";
import { readAgain } from "../api/reading";
import { text } from "../text";
import { Button } from "./Button";
import { type Answer, type Question, useConfirm } from "./Confirm";
import { useKey } from "./keys";
import { notify, notifyProblem } from "./Notices";

export interface Action {
  /** As in `actions` of the API. */
  verb: string;
  label: string;
  icon?: LucideIcon;
  danger?: boolean;
  primary?: boolean;
  /** A capital letter for what is dangerous. */
  hotkey?: string;
  /** Asked before; without it the act is done at once. */
  confirm?: Question;
  /** What to do. Its answer, if it is a text, is said in place of "Done". */
  run: (answer: Answer) => Promise<unknown> | undefined;
}

/** Ask, do, say what became of it, and read again what is shown. */
export function useDoing(): [(action: Action) => Promise<void>, string | null] {
  const confirm = useConfirm();
  const [busy, setBusy] = useState<string | null>(null);
  const perform = useCallback(
    async (action: Action) => {
      let answer: Answer | null = { reason: null };
      if (action.confirm) answer = await confirm(action.confirm);
      if (answer === null) return;
      setBusy(action.verb);
      try {
        const said = action.run(answer);
        if (said instanceof Promise) {
          const result: unknown = await said;
          notify(typeof result === "string" ? result : `${action.label}: ${text.shell.done}`);
        }
      } catch (thrown) {
        notifyProblem(thrown);
      } finally {
        setBusy(null);
        // After what the act may have opened is there: the page of something that is gone asks no more.
        window.setTimeout(readAgain, 50);
      }
    },
    [confirm],
  );
  return [perform, busy];
}

/** The buttons of one object. `legal` is its `actions`; nothing else is shown. */
export function ActionButtons({ legal, actions, keys = true }: { legal: string[]; actions: Action[]; keys?: boolean }) {
  const [perform, busy] = useDoing();
  const shown = actions.filter((action) => legal.includes(action.verb));
  return (
    <>
      {shown.map((action) => (
        <ActionButton key={action.verb} action={action} keys={keys} busy={busy} perform={perform} />
      ))}
    </>
  );
}

interface ActionButtonProps {
  action: Action;
  keys: boolean;
  busy: string | null;
  perform: (action: Action) => Promise<void>;
}

function ActionButton({ action, keys, busy, perform }: ActionButtonProps) {
  useKey(action.hotkey ?? "", () => void perform(action), action.label, {
    enabled: keys && action.hotkey !== undefined && busy === null,
  });
  return (
    <Button
      icon={action.icon}
      kind={action.danger ? "danger" : action.primary ? "primary" : "plain"}
      hotkey={keys ? action.hotkey : undefined}
      isDisabled={busy !== null}
      onPress={() => void perform(action)}
    >
      {action.label}
    </Button>
  );
}
