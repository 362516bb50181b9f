import {
  CircleAlert,
  CirclePause,
  Cloud,
  Database,
  Globe,
  Keyboard,
  LogIn,
  LogOut,
  Menu as MenuIcon,
  Moon,
  Radio,
  RefreshCw,
  Search,
  Settings,
  Sun,
  SunMoon,
  UserRound,
} from "lucide-react";
import { useNow } from "../clock";
import { useGo } from "../kit/address";
import { Badge, lookOf } from "../kit/Badge";
import { Button, IconButton } from "../kit/Button";
import { Go } from "../kit/Link";
import { Menu } from "../kit/Menu";
import { useVerdict } from "../live/stats";
import { useStream } from "../live/stream";
import { prefer, usePreferences } from "../preferences";
import { text } from "../text";
import { nextTheme, signOut, togglePause, toggleZone } from "./commands";
import { useMe } from "./me";

interface TopBarProps {
  isNavOpen: boolean;
  onNav: () => void;
  onPalette: () => void;
  onHelp: () => void;
  onSettings: () => void;
}

export function TopBar({ isNavOpen, onNav, onPalette, onHelp, onSettings }: TopBarProps) {
  return (
    <header className="bar">
      <span className="menu-button">
        <IconButton
          label={isNavOpen ? text.shell.closeMenu : text.shell.openMenu}
          icon={MenuIcon}
          aria-expanded={isNavOpen}
          aria-controls="navigation"
          onPress={onNav}
        />
      </span>
      <Go to="/" className="brand" aria-label={text.shell.product}>
        <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
          <path d="M9 6v20M23 6v20M9 16h14" stroke="currentColor" strokeWidth="4.4" strokeLinecap="round" fill="none" />
        </svg>
        <span>{text.shell.product}</span>
      </Go>
      <EnvironmentMark />
      <span className="space" />
      <span className="wide-only">
        <Button icon={Search} onPress={onPalette} hotkey="Ctrl K">
          {text.shell.palette.open}
        </Button>
      </span>
      <VerdictPill />
      <StreamMark />
      <ZoneButton />
      <ThemeButton />
      <UserMenu onPalette={onPalette} onHelp={onHelp} onSettings={onSettings} />
    </header>
  );
}

function EnvironmentMark() {
  const { info } = useMe();
  const { name, color } = info.environment;
  const { version, primary } = info.postgres;
  return (
    <>
      {name && (
        <span className="environment" data-color={color ?? undefined} title={text.shell.environment}>
          <Cloud size={13} aria-hidden />
          {name}
        </span>
      )}
      <span className="wide-only">
        <Badge icon={Database} tone={primary ? "quiet" : "warn"}>
          {text.shell.postgres(version.split(" ")[0] ?? version)}
          {!primary && ` · ${text.shell.replica}`}
        </Badge>
      </span>
      {info.read_only && primary && (
        <span title={text.shell.readOnlyWhy}>
          <Badge icon={CircleAlert} tone="warn">
            {text.shell.readOnly}
          </Badge>
        </span>
      )}
    </>
  );
}

function VerdictPill() {
  const { data } = useVerdict();
  if (!data) return null;
  const { tone, icon: Icon } = lookOf(data.status);
  return (
    <Go to="/" className="badge" data-tone={tone} aria-label={`${text.shell.verdict.link}: ${data.status}`}>
      <Icon size={13} strokeWidth={2.5} aria-hidden />
      {text.shell.verdict[data.status]}
    </Go>
  );
}

function StreamMark() {
  const { mode, retryAt } = useStream();
  const { pollSeconds, paused } = usePreferences();
  useNow();
  const words = {
    live: text.shell.stream.live,
    connecting: text.shell.stream.connecting,
    paused: text.shell.stream.paused,
    polling: text.shell.stream.polling(pollSeconds),
    reconnecting: text.shell.stream.reconnecting(Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))),
  }[mode];
  const icon = {
    live: Radio,
    connecting: RefreshCw,
    paused: CirclePause,
    polling: RefreshCw,
    reconnecting: CircleAlert,
  }[mode];
  const tone = ({ live: "good", connecting: "quiet", paused: "warn", polling: "info", reconnecting: "warn" } as const)[
    mode
  ];
  return (
    <button
      type="button"
      className="stream-mark"
      data-stream={mode}
      title={`${text.shell.stream.why} ${paused ? text.shell.stream.resume : text.shell.stream.pause}`}
      aria-label={`${words}. ${paused ? text.shell.stream.resume : text.shell.stream.pause}`}
      onClick={togglePause}
    >
      <Badge icon={icon} tone={tone}>
        <span className="wide-only">{words}</span>
      </Badge>
    </button>
  );
}

function ZoneButton() {
  const { zone } = usePreferences();
  const other = zone === "utc" ? text.shell.zone.local : text.shell.zone.utc;
  return (
    <span className="wide-only">
      <Button
        kind="bare"
        icon={Globe}
        aria-label={`${text.shell.zone[zone]}. ${text.shell.zone.toggle(other)}`}
        onPress={toggleZone}
      >
        {text.shell.zone[zone]}
      </Button>
    </span>
  );
}

const THEMES = { light: Sun, dark: Moon, system: SunMoon };

function ThemeButton() {
  const { theme } = usePreferences();
  return (
    <span className="wide-only">
      <IconButton
        label={`${text.shell.theme.label}: ${text.shell.theme[theme]}`}
        icon={THEMES[theme]}
        onPress={nextTheme}
      />
    </span>
  );
}

type UserMenuProps = Pick<TopBarProps, "onPalette" | "onHelp" | "onSettings">;

function UserMenu({ onPalette, onHelp, onSettings }: UserMenuProps) {
  const { me, info } = useMe();
  const { theme, zone } = usePreferences();
  const go = useGo();
  const signing =
    me.kind === "session"
      ? [{ id: "out", label: text.shell.user.signOut, icon: LogOut, onAction: () => void signOut() }]
      : info.auth
        ? [{ id: "in", label: text.shell.user.signIn, icon: LogIn, onAction: () => go("/login") }]
        : [];
  return (
    <Menu
      trigger={<IconButton label={text.shell.user.menu(me.name)} icon={UserRound} />}
      label={text.shell.user.menu(me.name)}
      entries={[
        { id: "who", label: me.name, icon: UserRound, end: me.roles.join(", "), onAction: () => go("/help") },
        { id: "palette", label: text.shell.palette.open, icon: Search, end: "Ctrl K", onAction: onPalette },
        { id: "settings", label: text.shell.user.settings, icon: Settings, onAction: onSettings },
        { id: "keys", label: text.shell.user.keys, icon: Keyboard, end: "?", onAction: onHelp },
        {
          id: "theme",
          label: `${text.shell.theme.label}: ${text.shell.theme[theme]}`,
          icon: THEMES[theme],
          onAction: nextTheme,
        },
        {
          id: "zone",
          label: `${text.shell.settings.zone}: ${text.shell.zone[zone]}`,
          icon: Globe,
          onAction: () => prefer({ zone: zone === "utc" ? "local" : "utc" }),
        },
        ...signing,
      ]}
    />
  );
}
