import { Button } from "../kit/Button";
import { Dialog } from "../kit/Dialog";
import { useKeys } from "../kit/keys";
import { prefer, usePreferences } from "../preferences";
import { text } from "../text";

const GROUPS = ["anywhere", "go", "list", "page"] as const;

/** Every key that works now, as the pages have registered them. */
export function KeyList() {
  const keys = useKeys();
  const { singleKeys } = usePreferences();
  return (
    <div className="stack">
      {!singleKeys && <p role="note">{text.shell.keys.off}</p>}
      <div className="key-groups">
        {GROUPS.map((group) => {
          const members = keys.filter(
            (entry, index) => entry.group === group && keys.findLastIndex((each) => each.keys === entry.keys) === index,
          );
          if (members.length === 0) return null;
          return (
            <section key={group} className="stack">
              <h3>{text.shell.keys[group]}</h3>
              <dl className="facts">
                {members.map((entry) => (
                  <div key={entry.keys} className="key-row">
                    <dt>
                      <Keys keys={entry.keys} />
                    </dt>
                    <dd>{entry.label}</dd>
                  </div>
                ))}
              </dl>
            </section>
          );
        })}
      </div>
      <p className="quiet">{text.shell.keys.danger}</p>
    </div>
  );
}

function Keys({ keys }: { keys: string }) {
  const parts = keys.split(" ");
  return (
    <span className="row nowrap">
      {parts.map((part, index) => (
        <span key={part}>
          {index > 0 && `${text.shell.keys.and} `}
          <kbd>{part.startsWith("Mod+") ? `Ctrl ${part.slice(4).toUpperCase()}` : part}</kbd>
        </span>
      ))}
    </span>
  );
}

export function HelpDialog({ onClose, onSettings }: { onClose: () => void; onSettings: () => void }) {
  return (
    <Dialog title={text.shell.keys.title} wide onClose={onClose}>
      <KeyList />
      <div className="foot">
        <Button onPress={onSettings}>{text.shell.user.settings}</Button>
        <Button kind="primary" onPress={onClose} autoFocus>
          {text.shell.close}
        </Button>
      </div>
    </Dialog>
  );
}

export function SettingsDialog({ onClose, least, most }: { onClose: () => void; least: number; most: number }) {
  return (
    <Dialog title={text.shell.settings.title} onClose={onClose}>
      <SettingsForm least={least} most={most} />
      <div className="foot">
        <Button kind="primary" onPress={onClose}>
          {text.shell.settings.done}
        </Button>
      </div>
    </Dialog>
  );
}

export function SettingsForm({ least, most }: { least: number; most: number }) {
  const preferences = usePreferences();
  return (
    <div className="stack">
      <Choice
        label={text.shell.settings.theme}
        value={preferences.theme}
        options={[
          ["system", text.shell.theme.system],
          ["light", text.shell.theme.light],
          ["dark", text.shell.theme.dark],
        ]}
        onChange={(theme) => prefer({ theme })}
      />
      <Choice
        label={text.shell.settings.density}
        value={preferences.density}
        options={[
          ["compact", text.shell.settings.compact],
          ["comfortable", text.shell.settings.comfortable],
        ]}
        onChange={(density) => prefer({ density })}
      />
      <Choice
        label={text.shell.settings.zone}
        value={preferences.zone}
        options={[
          ["local", text.shell.zone.local],
          ["utc", text.shell.zone.utc],
        ]}
        onChange={(zone) => prefer({ zone })}
      />
      <label className="row">
        <span className="tick">
          <input
            type="checkbox"
            checked={preferences.singleKeys}
            onChange={(event) => prefer({ singleKeys: event.target.checked })}
          />
        </span>
        {text.shell.settings.singleKeys}
      </label>
      <p className="quiet small">{text.shell.settings.singleKeysWhy}</p>
      <label className="field">
        <span className="label">{text.shell.settings.poll}</span>
        <input
          type="number"
          className="input"
          min={least}
          max={most}
          value={preferences.pollSeconds}
          onChange={(event) => {
            const seconds = event.target.valueAsNumber;
            if (seconds >= least && seconds <= most) prefer({ pollSeconds: seconds });
          }}
        />
      </label>
    </div>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: [T, string][];
  onChange: (value: T) => void;
}

function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  return (
    <label className="field">
      <span className="label">{label}</span>
      <select className="input" value={value} onChange={(event) => onChange(event.target.value as T)}>
        {options.map(([option, name]) => (
          <option key={option} value={option}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
