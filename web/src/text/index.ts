// The catalogue: every word that people read stands in this folder, one file a page. A line here for each.
import { admin } from "./admin";
import { audit } from "./audit";
import { batches } from "./batches";
import { database } from "./database";
import { events } from "./events";
import { failures } from "./failures";
import { jobs } from "./jobs";
import { limits } from "./limits";
import { lists } from "./lists";
import { operations } from "./operations";
import { overview } from "./overview";
import { problem } from "./problem";
import { projections } from "./projections";
import { queues } from "./queues";
import { schedules } from "./schedules";
import { shell } from "./shell";
import { signing } from "./signing";
import { states } from "./states";
import { workers } from "./workers";

export const text = {
  admin,
  audit,
  batches,
  database,
  events,
  failures,
  jobs,
  limits,
  lists,
  operations,
  overview,
  problem,
  projections,
  queues,
  schedules,
  shell,
  signing,
  states,
  workers,
};
