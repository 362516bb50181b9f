import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { Button as AriaButton, type ButtonProps as AriaProps } from "react-aria-components/Button";
import { Tooltip, TooltipTrigger } from "react-aria-components/Tooltip";

export type ButtonKind = "plain" | "primary" | "danger" | "danger-fill" | "bare";

export interface ButtonProps extends Omit<AriaProps, "className" | "children" | "style"> {
  kind?: ButtonKind;
  icon?: LucideIcon;
  children?: ReactNode;
  /** The key that does the same, shown in the button. */
  hotkey?: string;
}

export function Button({ kind = "plain", icon: Icon, children, hotkey, ...rest }: ButtonProps) {
  return (
    <AriaButton {...rest} className="button" data-kind={kind}>
      {Icon && <Icon size={15} aria-hidden />}
      {children}
      {hotkey && <kbd aria-hidden>{hotkey}</kbd>}
    </AriaButton>
  );
}

/** A button that shows only an icon; what it does is said to those who do not see it, and in a tooltip. */
export function IconButton({
  label,
  icon: Icon,
  kind = "bare",
  ...rest
}: Omit<ButtonProps, "children" | "icon"> & { label: string; icon: LucideIcon }) {
  return (
    <TooltipTrigger delay={400}>
      <AriaButton {...rest} aria-label={label} className="button icon" data-kind={kind}>
        <Icon size={16} aria-hidden />
      </AriaButton>
      <Tooltip className="popover tip" offset={6}>
        {label}
      </Tooltip>
    </TooltipTrigger>
  );
}
