// The types that pages read, held against those made of the API's own description: a field that is gone, has another
// name or another type fails the check here. `npm run types` makes `#api` of openapi.json, `make schema` writes that.
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
import type { History, Info, Me, Overview, Verdict } from "./types";

/** Where we know the words that a field has, the API says that it is text. */
type Loosely<T> = T extends string ? string : T extends object ? { [K in keyof T]: Loosely<T[K]> } : T;

/** What the API sends is what pages read: everything of it is there. */
type Sends<Sent extends Loosely<Read>, Read> = [Sent, Read];

export type Contract = [
  Sends<Api.MeOut, Me>,
  Sends<Api.InfoOut, Info>,
  Sends<Api.VerdictOut, Verdict>,
  Sends<Api.OverviewOut, Overview>,
  Sends<Api.HistoryOut, History>,
  Sends<Api.ScheduleOut, Schedule>,
  Sends<Api.OneScheduleOut, ScheduleDetail>,
  Sends<Api.BackfillOut, BackfillPreview>,
  Sends<Api.AuditOut, AuditEntry>,
  Sends<Api.TokenOut, Token>,
  Sends<Api.NewTokenOut, NewToken>,
  Sends<Api.SessionOut, Session>,
  Sends<Api.SettingsOut, Settings>,
  Sends<Api.EventOut, RecordedEvent>,
  Sends<Api.LogOut, LogState>,
  Sends<Api.LogStreamOut, Stream>,
  Sends<Api.ProjectionOut, Projection>,
  Sends<Api.OneProjectionOut, ProjectionDetail>,
  Sends<Api.WorkerOut, Worker>,
  Sends<Api.OneWorkerOut, WorkerDetail>,
  Sends<Api.DatabaseOut, DatabaseFacts>,
];
