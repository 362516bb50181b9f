// Every page, one line each, in the order of the navigation. How to add one: README.md.
import {
  Bug,
  CalendarClock,
  CircleGauge,
  CircleHelp,
  ClipboardList,
  Cpu,
  Database,
  Layers,
  ListChecks,
  ListTodo,
  Presentation,
  ScrollText,
  Settings2,
} from "lucide-react";
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
  page("/failures", "failures", () => import("./failures"), { group: "work", icon: Bug, key: "f", needs: "jobs:read" }),
  page("/schedules", "schedules", () => import("./schedules"), {
    group: "work",
    icon: CalendarClock,
    key: "s",
    needs: "schedules:read",
  }),
  page("/events", "events", () => import("./events"), {
    group: "log",
    icon: ScrollText,
    key: "e",
    needs: "events:read",
  }),
  page("/projections", "projections", () => import("./projections"), {
    group: "log",
    icon: Presentation,
    key: "p",
    needs: "projections:read",
  }),
  page("/workers", "workers", () => import("./workers"), {
    group: "machine",
    icon: Cpu,
    key: "w",
    needs: "workers:read",
  }),
  page("/database", "database", () => import("./database"), {
    group: "machine",
    icon: Database,
    key: "d",
    needs: "database:read",
  }),
  page("/operations", "operations", () => import("./operations"), {
    group: "control",
    icon: ListTodo,
    key: "b",
    needs: "operations:read",
  }),
  page("/audit", "audit", () => import("./audit"), {
    group: "control",
    icon: ClipboardList,
    key: "a",
    needs: "audit:read",
  }),
  page("/admin", "admin", () => import("./admin"), {
    group: "control",
    icon: Settings2,
    key: "m",
    needs: "settings:read",
  }),
  page("/help", "help", () => import("./help"), { group: "control", icon: CircleHelp }),
];
