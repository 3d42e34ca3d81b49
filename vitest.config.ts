import { defineConfig } from "vitest/config";

/** One project per stage. Tests run from source; threads and isolates are built once before them. */
const project = (name: string, include: string[], testTimeout: number, parallel = true) => ({
  test: {
    name,
    include,
    testTimeout,
    hookTimeout: testTimeout,
    environment: "node" as const,
    pool: "forks" as const,
    fileParallelism: parallel,
    sequence: { shuffle: true },
  },
});

export default defineConfig({
  test: {
    globalSetup: ["tests/fixtures/build_once.ts"],
    maxWorkers: 2,
    projects: [
      project("tidy", ["tests/tidy/*.test.ts"], 60_000),
      project("unit", ["{server,sdk,cli,isolate}/src/**/*.test.{ts,tsx}", "scripts/follow/*.test.ts"], 20_000),
      project("contract", ["tests/contract/**/*.test.ts"], 60_000),
      project("escape", ["tests/escape/**/*.test.ts"], 60_000),
      project("crash", ["tests/crash/**/*.test.ts"], 120_000, false),
      project("e2e", ["tests/e2e/**/*.test.ts"], 120_000, false),
    ],
  },
});
