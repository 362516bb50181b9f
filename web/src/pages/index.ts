// Every page, one line each, in the order of the navigation. How to add one: README.md.
import { CircleGauge, CircleHelp, Layers, ListChecks } from "lucide-react";
import { type PageEntry, page } from "./registry";

export const pages: PageEntry[] = [
  page("/", "overview", () => import("./overview"), { group: "now", icon: CircleGauge, key: "o", needs: "stats:read" }),
  page("/jobs", "jobs", () => import("./jobs"), {
    group: "work",
    icon: ListChecks,
    key: "j",
    needs: "jobs:read",
    badge: "running",
  }),
  page("/jobs/:id", "job", () => import("./job"), { needs: "jobs:read" }),
  page("/queues", "queues", () => import("./queues"), {
    group: "work",
    icon: Layers,
    key: "q",
    needs: "queues:read",
    badge: "queues_paused",
  }),
  page("/queue", "queue", () => import("./queue"), { needs: "queues:read" }),
  page("/help", "help", () => import("./help"), { group: "control", icon: CircleHelp }),
];
