// Lines over time, drawn on a canvas; the same numbers as a table for who does not see it.
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { usePreferences } from "../preferences";
import { text } from "../text";
import { clockTime, moment } from "../text/format";
import { Button } from "./Button";

export interface Series {
  name: string;
  /** One value a bucket; null where nothing is known. */
  values: (number | null)[];
  /** 1 to 5: the colour. */
  color: 1 | 2 | 3 | 4 | 5;
  dashed?: boolean;
}

export interface Mark {
  at: string;
  kind: string;
  text: string;
}

interface ChartProps {
  label: string;
  /** Beginnings of the buckets. */
  at: string[];
  series: Series[];
  marks?: Mark[];
  format: (value: number) => string;
  height?: number;
  /** Bars beside lines: for counts. */
  stacked?: boolean;
}

export function Chart(props: ChartProps) {
  const [asTable, setAsTable] = useState(false);
  return (
    <figure className="chart" aria-label={props.label}>
      {asTable ? <ChartTable {...props} /> : <Canvas {...props} />}
      <figcaption className="legend">
        {props.series.map((series) => (
          <span key={series.name}>
            <i data-series={series.color} />
            {series.name}
            {!asTable && <b>{lastOf(series, props.format)}</b>}
          </span>
        ))}
        <Button kind="bare" onPress={() => setAsTable(!asTable)} aria-pressed={asTable}>
          {asTable ? text.lists.chartView : text.lists.tableView}
        </Button>
      </figcaption>
    </figure>
  );
}

function lastOf(series: Series, format: (value: number) => string): string {
  const last = series.values.findLast((value) => value !== null);
  return last === undefined || last === null ? "–" : format(last);
}

function ChartTable({ label, at, series, marks = [], format }: ChartProps) {
  const { zone } = usePreferences();
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <div className="table-frame tall" tabIndex={0} role="region" aria-label={label}>
        <table className="table">
          <thead>
            <tr>
              <th scope="col">{text.lists.time}</th>
              {series.map((each) => (
                <th scope="col" className="number" key={each.name}>
                  {each.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {at
              .map((moment_, index) => ({ moment_, index }))
              .reverse()
              .map(({ moment_, index }) => (
                <tr key={moment_}>
                  <th scope="row">{moment(moment_, zone, false)}</th>
                  {series.map((each) => {
                    const value = each.values[index];
                    return (
                      <td className="number" key={each.name}>
                        {value === null || value === undefined ? "–" : format(value)}
                      </td>
                    );
                  })}
                </tr>
              ))}
          </tbody>
        </table>
      </div>
      {marks.length > 0 && (
        <ul className="stack small">
          {marks.map((mark) => (
            <li key={mark.at + mark.text}>
              {moment(mark.at, zone, false)} · {mark.text}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function Canvas({ label, at, series, marks = [], format, height = 176 }: ChartProps) {
  const area = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { theme, zone } = usePreferences();
  const [shown, setShown] = useState(() => document.documentElement.dataset.theme);
  useEffect(() => {
    // The system's theme may change without a choice: colours on a canvas do not follow by themselves.
    const observer = new MutationObserver(() => setShown(document.documentElement.dataset.theme));
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => observer.disconnect();
  }, []);
  const names = series.map((each) => each.name + each.color).join("|");
  const formatRef = useRef(format);
  const marksRef = useRef(marks);
  useEffect(() => {
    formatRef.current = format;
    marksRef.current = marks;
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn anew when its series or the theme change, else fed
  useEffect(() => {
    const box = area.current;
    if (box === null) return undefined;
    const created = new uPlot(
      options(box.clientWidth, height, series, zone, formatRef, marksRef),
      dataOf(at, series),
      box,
    );
    plot.current = created;
    const observer = new ResizeObserver(() => created.setSize({ width: box.clientWidth, height }));
    observer.observe(box);
    return () => {
      observer.disconnect();
      created.destroy();
      plot.current = null;
    };
  }, [names, theme, shown, zone, height]);
  useEffect(() => {
    plot.current?.setData(dataOf(at, series));
  }, [at, series]);
  return <div ref={area} className="area" role="img" aria-label={label} />;
}

function dataOf(at: string[], series: Series[]): uPlot.AlignedData {
  return [at.map((each) => Date.parse(each) / 1000), ...series.map((each) => each.values)];
}

function options(
  width: number,
  height: number,
  series: Series[],
  zone: "local" | "utc",
  format: { current: (value: number) => string },
  marks: { current: Mark[] },
): uPlot.Options {
  const grid = { stroke: token("--line"), width: 1 };
  const axis = { stroke: token("--ink-3"), font: "11px system-ui, sans-serif", grid, ticks: { ...grid, size: 4 } };
  return {
    width,
    height,
    padding: [8, 8, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_, min, max) => [Math.min(0, min), max <= 0 ? 1 : max * 1.08] } },
    axes: [
      {
        ...axis,
        values: (self, splits) => {
          const long = (self.scales.x?.max ?? 0) - (self.scales.x?.min ?? 0) > 86_400;
          return splits.map((split) => clockTime(split * 1000, zone, long));
        },
        space: 72,
        size: 28,
      },
      { ...axis, size: 58, values: (_, splits) => splits.map((split) => format.current(split)), space: 30 },
    ],
    series: [
      {},
      ...series.map((each) => ({
        label: each.name,
        stroke: token(`--series-${each.color}`),
        width: 1.75,
        dash: each.dashed ? [5, 4] : undefined,
        fill:
          series.length === 1 ? `color-mix(in srgb, ${token(`--series-${each.color}`)} 14%, transparent)` : undefined,
        spanGaps: false,
        points: { show: true, size: 5, filter: isolated },
      })),
    ],
    plugins: [{ hooks: { draw: (self) => drawMarks(self, marks.current) } }],
  };
}

/** Values without a neighbour: no line leads through them, so they are drawn as points. */
function isolated(self: uPlot, series: number): number[] {
  const values = self.data[series] ?? [];
  const known = (index: number) => values[index] !== null && values[index] !== undefined;
  const found: number[] = [];
  for (let index = 0; index < values.length; index++) {
    if (known(index) && !known(index - 1) && !known(index + 1)) found.push(index);
  }
  return found;
}

/** A deploy explains more than the workers that it started: its words come first where there is room for one. */
function byWeight(mark: Mark): number {
  return ["deployed", "worker_lost", "paused", "started"].indexOf(mark.kind);
}

/** What happened, as a dashed line with its words, as far as two rows have room for them; the table names all. */
function drawMarks(self: uPlot, marks: Mark[]): void {
  const { ctx, bbox } = self;
  ctx.save();
  ctx.strokeStyle = token("--line-strong");
  ctx.fillStyle = token("--ink-2");
  ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  const taken: [number, number, number][] = [];
  for (const mark of [...marks].sort((a, b) => byWeight(a) - byWeight(b))) {
    const x = self.valToPos(Date.parse(mark.at) / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    // At the right edge the words stand before their line.
    const isLate = x > bbox.left + bbox.width * 0.75;
    const said = mark.text.length > 24 ? `${mark.text.slice(0, 23)}…` : mark.text;
    const wide = ctx.measureText(said).width + 8 * devicePixelRatio;
    const [from, to] = isLate ? [x - wide, x] : [x, x + wide];
    const row = [0, 1].find((each) => !taken.some(([start, end, at]) => at === each && from < end && start < to));
    if (row === undefined) continue;
    taken.push([from, to, row]);
    ctx.textAlign = isLate ? "right" : "left";
    ctx.fillText(said, x + (isLate ? -3 : 3) * devicePixelRatio, bbox.top + (9 + row * 12) * devicePixelRatio);
  }
  ctx.restore();
}

/** A small line without axes, for a cell; `label` says what it shows. */
export function Spark({ values, label, bad }: { values: number[]; label: string; bad?: boolean }) {
  const most = Math.max(1, ...values);
  const step = values.length > 1 ? 100 / (values.length - 1) : 100;
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(21 - (value / most) * 19).toFixed(1)}`);
  return (
    <svg
      className="spark"
      viewBox="0 0 100 22"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
      data-tone={bad ? "bad" : undefined}
    >
      <polyline
        points={points.join(" ")}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
