import { useRead } from "../api/reading";
import type { History } from "../api/types";
import { text } from "../text";
import { count, span } from "../text/format";
import { useAddress } from "./address";
import { Chart } from "./Chart";
import { Panel } from "./Panel";
import { ProblemNote } from "./Problem";
import { Segments } from "./Segments";

const words = text.overview;

/** Throughput and waiting times; also of one queue. */
export function Charts({ queue }: { queue?: string }) {
  const [range, setRange] = useAddress("range", "1h");
  const history = useRead<History>("/history", { range, queue }, { every: 30, keep: true });
  const { data } = history;
  const at = (data?.buckets ?? []).map((bucket) => bucket.at);
  const minutes = (data?.resolution_seconds ?? 60) / 60;
  const series = (field: "completed" | "failed" | "retried" | "cancelled") =>
    (data?.buckets ?? []).map((bucket) => (bucket[field] ?? 0) / minutes);
  const values = (field: "wait_p50_seconds" | "wait_p95_seconds" | "wait_p99_seconds") =>
    (data?.buckets ?? []).map((bucket) => bucket[field] ?? null);
  const perMinute = (value: number) => words.perMinute(count(Number(value.toFixed(value < 10 ? 1 : 0))));
  if (history.error) return <ProblemNote error={history.error} again={() => void history.refetch()} />;
  return (
    <div className="columns charts">
      <Panel title={words.throughput} end={<RangeChoice value={range} onChange={setRange} />}>
        {at.length === 0 ? (
          <p className="quiet">{data ? words.noHistory : text.shell.loading}</p>
        ) : (
          <Chart
            label={words.throughputChart}
            at={at}
            marks={data?.marks}
            format={perMinute}
            series={[
              { name: words.completed, values: series("completed"), color: 1 },
              { name: words.failed, values: series("failed"), color: 2 },
              { name: words.retried, values: series("retried"), color: 3, dashed: true },
            ]}
          />
        )}
      </Panel>
      <Panel title={words.waits}>
        {!data ? (
          <p className="quiet">{text.shell.loading}</p>
        ) : values("wait_p99_seconds").every((value) => value === null) ? (
          <p className="quiet">{words.noWaits}</p>
        ) : (
          <Chart
            label={words.waitsChart}
            at={at}
            marks={data?.marks}
            format={(value) => span(value)}
            series={[
              { name: words.p50, values: values("wait_p50_seconds"), color: 1 },
              { name: words.p95, values: values("wait_p95_seconds"), color: 3 },
              { name: words.p99, values: values("wait_p99_seconds"), color: 4, dashed: true },
            ]}
          />
        )}
      </Panel>
    </div>
  );
}

function RangeChoice({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return <Segments label={words.range} value={value} options={Object.entries(words.ranges)} onChange={onChange} />;
}
