import { seedTests } from "./seed-runs.ts";

seedTests(1, "cluster");
