// The catalogue: every word that people read stands in this folder, one file a page. A line here for each.
import { jobs } from "./jobs";
import { lists } from "./lists";
import { overview } from "./overview";
import { problem } from "./problem";
import { queues } from "./queues";
import { shell } from "./shell";
import { signing } from "./signing";
import { states } from "./states";

export const text = {
  jobs,
  lists,
  overview,
  problem,
  queues,
  shell,
  signing,
  states,
};
