import { seedTests } from "./seed-runs.ts";

seedTests(0, "cluster");
