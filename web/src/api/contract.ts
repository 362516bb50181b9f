// The types that pages read, held against those made of the API's own description: a field that is gone, has another
// name or another type fails the check here. `npm run check` makes `#api` of openapi.json first, `make schema` writes that.
import type * as Api from "#api";
import type {
  AuditEntry,
  BackfillPreview,
  NewToken,
  Schedule,
  ScheduleDetail,
  Session,
  Settings,
  Token,
} from "./control";
import type { LogState, Projection, ProjectionDetail, RecordedEvent, Stream } from "./log";
import type { DatabaseFacts, Worker, WorkerDetail } from "./machine";
import type {
  Batch,
  FailureGroup,
  FilterField,
  History,
  Info,
  Job,
  Limit,
  LogPage,
  Me,
  Operation,
  OperationPreview,
  Overview,
  Queue,
  Task,
  Verdict,
  WholeJob,
  WholeQueue,
  Why,
} from "./types";

/** Where we know the words that a field has, the API says that it is text. */
type Loosely<T> = T extends string ? string : T extends object ? { [K in keyof T]: Loosely<T[K]> } : T;

/** Where the API says that it is any JSON, it may be what we know it is. */
// biome-ignore lint/suspicious/noExplicitAny: any JSON is what the API promises of these
type Anything<T> = unknown extends T ? any : T extends object ? { [K in keyof T]: Anything<T[K]> } : T;

/** What the API sends is what pages read: everything of it is there. */
type Holds<Sent extends Loosely<Read>, Read> = [Sent, Read];

export type Contract = [
  Holds<Anything<Api.MeOut>, Me>,
  Holds<Anything<Api.InfoOut>, Info>,
  Holds<Anything<Api.VerdictOut>, Verdict>,
  Holds<Anything<Api.OverviewOut>, Overview>,
  Holds<Anything<Api.HistoryOut>, History>,
  Holds<Anything<Api.ScheduleOut>, Schedule>,
  Holds<Anything<Api.OneScheduleOut>, ScheduleDetail>,
  Holds<Anything<Api.BackfillOut>, BackfillPreview>,
  Holds<Anything<Api.AuditOut>, AuditEntry>,
  Holds<Anything<Api.TokenOut>, Token>,
  Holds<Anything<Api.NewTokenOut>, NewToken>,
  Holds<Anything<Api.SessionOut>, Session>,
  Holds<Anything<Api.SettingsOut>, Settings>,
  Holds<Anything<Api.EventOut>, RecordedEvent>,
  Holds<Anything<Api.LogOut>, LogState>,
  Holds<Anything<Api.LogStreamOut>, Stream>,
  Holds<Anything<Api.ProjectionOut>, Projection>,
  Holds<Anything<Api.OneProjectionOut>, ProjectionDetail>,
  Holds<Anything<Api.WorkerOut>, Worker>,
  Holds<Anything<Api.OneWorkerOut>, WorkerDetail>,
  Holds<Anything<Api.DatabaseOut>, DatabaseFacts>,
  Holds<Anything<Api.JobLine>, Job>,
  Holds<Anything<Api.JobOut>, WholeJob>,
  Holds<Anything<Api.WhyOut>, Why>,
  Holds<Anything<Api.LogPage>, LogPage>,
  Holds<Anything<Api.QueueOut>, Queue>,
  Holds<Anything<Api.QueueDetail>, WholeQueue>,
  Holds<Anything<Api.LimitOut>, Limit>,
  Holds<Anything<Api.BatchOut>, Batch>,
  Holds<Anything<Api.TaskOut>, Task>,
  Holds<Anything<Api.FieldOut>, FilterField>,
  Holds<Anything<Api.OperationOut>, Operation>,
  Holds<Anything<Api.PreviewOut>, OperationPreview>,
  Holds<Anything<Api.FailureOut>, FailureGroup>,
];
