import { apiAddress } from "../address";
import { useRead } from "../api/reading";
import type { FilterField, Page as ListPage } from "../api/types";
import { CopyButton } from "../kit/Code";
import { Page } from "../kit/Page";
import { Facts, Panel } from "../kit/Panel";
import { type Column, Table } from "../kit/Table";
import { KeyList, SettingsForm } from "../shell/Help";
import { useMe } from "../shell/me";
import { text } from "../text";

const COLUMNS: Column<FilterField>[] = [
  { id: "field", name: text.signing.field, cell: (field) => <code>{field.name}</code> },
  { id: "operators", name: text.signing.operators, cell: (field) => <code>{field.operators.join("  ")}</code> },
  { id: "meaning", name: text.signing.meaning, cell: (field) => field.meaning ?? "" },
];

export default function Help() {
  const { me, info, may } = useMe();
  const words = text.signing;
  const filter = useRead<ListPage<FilterField>>("/filter", {}, { every: 0, enabled: may("jobs:read") });
  return (
    <Page title={words.helpTitle} about={words.helpAbout}>
      <div className="columns">
        <Panel title={text.shell.keys.title}>
          <KeyList />
        </Panel>
        <div className="stack loose">
          <Panel title={text.shell.settings.title}>
            <SettingsForm least={info.stream.min_seconds} most={info.stream.max_seconds} />
          </Panel>
          <Panel title={words.commands}>
            <ul className="stack">
              {words.commandList.map(([command, meaning]) => (
                <li key={command} className="row">
                  <code>{command}</code>
                  <CopyButton value={command} />
                  <span className="quiet">{meaning}</span>
                </li>
              ))}
            </ul>
          </Panel>
          <Panel title={words.you}>
            <Facts
              of={[
                [words.name, me.name],
                [words.roles, me.roles.join(", ")],
                [words.queues, me.queues?.join(", ")],
                [words.permissions, <span key="all">{me.permissions.join("  ")}</span>],
              ]}
            />
          </Panel>
          <Panel title={words.installation}>
            <Facts
              of={[
                [words.version, info.version],
                [words.schema, String(info.schema_version)],
                [words.postgres, `${info.postgres.version}${info.postgres.primary ? "" : ` (${text.shell.replica})`}`],
                [words.environment, info.environment.name],
                [words.auth, info.auth ? words.authOn : words.authOff],
                [
                  words.api,
                  <a key="api" href={apiAddress("/openapi.json")}>
                    {words.apiDescription}
                  </a>,
                ],
              ]}
            />
          </Panel>
        </div>
      </div>
      {filter.data && (
        <Panel title={words.filter}>
          <p className="quiet">{words.filterAbout}</p>
          <Table label={words.filter} columns={COLUMNS} rows={filter.data.items} rowId={(field) => field.name} />
        </Panel>
      )}
    </Page>
  );
}
