import type { LucideIcon } from "lucide-react";
import type { ReactElement } from "react";
import { Menu as AriaMenu, MenuItem, MenuTrigger } from "react-aria-components/Menu";
import { Popover } from "react-aria-components/Popover";

export interface MenuEntry {
  id: string;
  label: string;
  icon?: LucideIcon;
  /** At the end of the line: a key, a count. */
  end?: string;
  danger?: boolean;
  onAction: () => void;
}

interface MenuProps {
  trigger: ReactElement;
  label: string;
  entries: MenuEntry[];
}

/** A button that opens a menu. */
export function Menu({ trigger, label, entries }: MenuProps) {
  return (
    <MenuTrigger>
      {trigger}
      <Popover className="popover" placement="bottom end">
        <AriaMenu className="menu" aria-label={label}>
          {entries.map((entry) => (
            <MenuItem
              key={entry.id}
              id={entry.id}
              textValue={entry.label}
              onAction={entry.onAction}
              data-kind={entry.danger ? "danger" : undefined}
            >
              {entry.icon && <entry.icon size={15} aria-hidden />}
              {entry.label}
              {entry.end && <span className="end">{entry.end}</span>}
            </MenuItem>
          ))}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}

interface CheckMenuProps {
  trigger: ReactElement;
  label: string;
  entries: { id: string; label: string }[];
  chosen: string[];
  onChange: (chosen: string[]) => void;
}

/** A menu of things that are on or off: columns. */
export function CheckMenu({ trigger, label, entries, chosen, onChange }: CheckMenuProps) {
  return (
    <MenuTrigger>
      {trigger}
      <Popover className="popover" placement="bottom end">
        <AriaMenu
          className="menu"
          aria-label={label}
          selectionMode="multiple"
          selectedKeys={chosen}
          onSelectionChange={(keys) =>
            onChange(keys === "all" ? entries.map((entry) => entry.id) : [...keys].map(String))
          }
        >
          {entries.map((entry) => (
            <MenuItem key={entry.id} id={entry.id} textValue={entry.label}>
              {({ isSelected }) => (
                <>
                  <span aria-hidden>{isSelected ? "☑" : "☐"}</span>
                  {entry.label}
                </>
              )}
            </MenuItem>
          ))}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}
