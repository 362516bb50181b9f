import { Plus } from "lucide-react";
import { useState } from "react";
import { useRead } from "../api/reading";
import type { Job } from "../api/types";
import { useAddress } from "../kit/address";
import { StateBadge } from "../kit/Badge";
import { Button } from "../kit/Button";
import { Code } from "../kit/Code";
import { shellWord } from "../kit/export";
import { Go } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty } from "../kit/Panel";
import { useMe } from "../shell/me";
import { text } from "../text";
import { atLeast } from "../text/format";
import { BulkBar, BulkMenu } from "./jobs/Bulk";
import { jobColumns } from "./jobs/columns";
import { JobForm } from "./jobs/Forms";

const words = text.jobs;
const STATES = ["ready", "running", "scheduled", "blocked", "failed", "completed", "cancelled"];
const STATE_TERM = /(^|\s)state!?=\S+/g;

type Counts = Record<string, { count: number; is_exact: boolean }>;

export default function Jobs() {
  const { may } = useMe();
  const [at, setAt] = useState(0);
  const [isOpen, setOpen] = useState(false);
  const [filter] = useAddress("filter");
  return (
    <Page
      title={words.title}
      at={at}
      actions={
        may("jobs:enqueue") && (
          <Button icon={Plus} onPress={() => setOpen(true)}>
            {words.enqueue}
          </Button>
        )
      }
    >
      <div>
        <StateTabs />
        <List<Job>
          name="jobs"
          label={words.title}
          path="/jobs"
          topics={["jobs"]}
          columns={jobColumns}
          rowId={(job) => job.id}
          rowName={(job) => words.job(job.id)}
          rowTo={(job) => `/jobs/${job.id}`}
          filter="jobs"
          onRead={setAt}
          command={(whole) => `holdfast job list${whole === "" ? "" : ` --filter ${shellWord(whole)}`}`}
          tools={(whole) => <BulkMenu filter={whole} />}
          bulk={(selection, _, rows) => (
            <BulkBar selection={selection} rows={rows.filter((row) => selection.has(row.id))} />
          )}
          empty={
            filter === "" ? (
              <Empty title={words.empty}>
                <p>{words.emptyHint}</p>
                <Code>{words.emptyCode}</Code>
              </Empty>
            ) : (
              <Empty title={words.emptyState} />
            )
          }
        />
      </div>
      {isOpen && <JobForm onClose={() => setOpen(false)} />}
    </Page>
  );
}

/** A state is one term of the filter: the tab and the filter bar say the same. */
function StateTabs() {
  const [filter] = useAddress("filter");
  const counts = useRead<Counts>("/jobs/counts", {}, { topics: ["jobs"] });
  const rest = filter.replace(STATE_TERM, " ").trim();
  const chosen = /(?:^|\s)state=([a-z]+)(?=\s|$)/.exec(filter)?.[1] ?? (/(^|\s)state/.test(filter) ? null : "");
  return (
    <nav className="tabs" aria-label={words.states}>
      <Go to="/jobs" search={{ filter: rest }} aria-current={chosen === "" ? "true" : undefined}>
        {words.all}
      </Go>
      {STATES.map((state) => {
        const amount = counts.data?.[state];
        return (
          <Go
            key={state}
            to="/jobs"
            search={{ filter: `state=${state} ${rest}`.trim() }}
            aria-current={chosen === state ? "true" : undefined}
          >
            <StateBadge state={state} />
            {amount && <span className="count">{atLeast(amount.count, amount.is_exact)}</span>}
          </Go>
        );
      })}
    </nav>
  );
}
