import { type LucideIcon, Component as ProjectIcon } from "lucide-react";
import { useLocation } from "wouter";
import { Go } from "../kit/Link";
import { useTiles } from "../live/stats";
import { pages } from "../pages";
import type { PageEntry } from "../pages/registry";
import { text } from "../text";
import { count } from "../text/format";
import { useMe } from "./me";

const GROUPS = ["now", "work", "log", "machine", "control"] as const;
/** Figures that call for somebody. */
const ALARMING = ["failed_5m", "queues_paused"];

export function Nav({ isOpen }: { isOpen: boolean }) {
  const { me, info, may } = useMe();
  const visible = pages.filter((page) => page.group && (!page.needs || may(page.needs)));
  return (
    <nav className="nav" data-open={isOpen || undefined} aria-label={text.shell.mainNavigation} id="navigation">
      {GROUPS.map((group) => {
        const members = visible.filter((page) => page.group === group);
        if (members.length === 0) return null;
        return (
          <div key={group}>
            {text.shell.groups[group] && <h2>{text.shell.groups[group]}</h2>}
            <ul>
              {members.map((page) => (
                <li key={page.path}>
                  <PageLink page={page} />
                </li>
              ))}
            </ul>
          </div>
        );
      })}
      {info.pages.length > 0 && (
        <div>
          <h2>{text.shell.groups.project}</h2>
          <ul>
            {info.pages.map((page) => (
              <li key={page.path}>
                <NavLink to={`/pages${page.path}`} icon={ProjectIcon} name={page.title} />
              </li>
            ))}
          </ul>
        </div>
      )}
      <span className="visually-hidden">{me.name}</span>
    </nav>
  );
}

function PageLink({ page }: { page: PageEntry }) {
  const tiles = useTiles();
  const value = page.badge ? tiles?.[page.badge] : undefined;
  const shown = typeof value === "number" && value > 0 ? value : undefined;
  return (
    <NavLink
      to={page.path}
      icon={page.icon}
      name={text.shell.pages[page.name]}
      badge={shown}
      alarming={page.badge !== undefined && ALARMING.includes(page.badge)}
    />
  );
}

interface NavLinkProps {
  to: string;
  icon?: LucideIcon;
  name: string;
  badge?: number;
  alarming?: boolean;
}

function NavLink({ to, icon: Icon, name, badge, alarming }: NavLinkProps) {
  const [here] = useLocation();
  const isHere =
    to === "/" ? here === "/" : here === to || here.startsWith(`${to}/`) || (to === "/queues" && here === "/queue");
  return (
    <Go to={to} aria-current={isHere ? "page" : undefined}>
      {Icon && <Icon size={16} aria-hidden />}
      {name}
      {badge !== undefined && (
        <span className="count" data-tone={alarming ? "bad" : undefined}>
          {count(badge)}
        </span>
      )}
    </Go>
  );
}
