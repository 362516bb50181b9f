// Every page, one line each, in the order of the navigation. How to add one: README.md.
import { CircleGauge, CircleHelp } from "lucide-react";
import { type PageEntry, page } from "./registry";

export const pages: PageEntry[] = [
  page("/", "overview", () => import("./overview"), { group: "now", icon: CircleGauge, key: "o", needs: "stats:read" }),
  page("/help", "help", () => import("./help"), { group: "control", icon: CircleHelp }),
];
