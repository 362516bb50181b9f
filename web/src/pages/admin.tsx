// Admin: tokens, sessions, settings, and what is kept how long.
import { useAddress } from "../kit/address";
import { Go } from "../kit/Link";
import { Page } from "../kit/Page";
import { text } from "../text";
import { Sessions } from "./admin/Sessions";
import { Retention, Settings } from "./admin/Settings";
import { Tokens } from "./admin/Tokens";

const words = text.admin;

const TABS: [string, string, () => React.ReactNode][] = [
  ["", words.tokens, () => <Tokens />],
  ["sessions", words.sessions, () => <Sessions />],
  ["settings", words.settings, () => <Settings />],
  ["retention", words.retention, () => <Retention />],
];

export default function Admin() {
  const [tab] = useAddress("tab");
  const shown = TABS.find(([name]) => name === tab) ?? TABS[0];
  return (
    <Page title={words.title} about={words.about}>
      <nav className="tabs" aria-label={words.title}>
        {TABS.map(([name, label]) => (
          <Go key={name} to="/admin" search={{ tab: name }} aria-current={tab === name ? "page" : undefined}>
            {label}
          </Go>
        ))}
      </nav>
      {shown?.[2]()}
    </Page>
  );
}
