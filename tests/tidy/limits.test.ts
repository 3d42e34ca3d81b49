import { describe, expect, it } from "vitest";
import { contracts, limitsOf, sharedLimits } from "../../scripts/contracts.ts";
import { LIMIT_NAMES } from "../../server/src/kernel/limits.ts";
import { CODE, read, sources, TESTS } from "./source.ts";

/** What bounds something, by its name. */
const BOUND = /_(MAX|MS)(_|$)/;

/** How often something is looked at or tried again. They pace work and bound nothing, so there is no "one past it". */
const PACES = [
  "CLOSE_POLL_MS",
  "CODE_USED_MS",
  "FAIRNESS_PERIOD_MS",
  "FOLLOW_POLL_MS",
  "FULL_PROBE_MS",
  "HEARTBEAT_MS",
  "RUN_KEY_SWEEP_MS",
  "SINK_BACKOFF_MS",
  "SINK_POLL_MS",
  "TIMER_BACKOFF_MS",
  "TLS_POLL_MS",
  "UNSETTLED_RETRY_MS",
];

const limits = [await sharedLimits(), ...(await contracts())].flatMap(limitsOf);
const bounds = limits.filter(({ name }) => BOUND.test(name)).map(({ name }) => name);
const tests = sources(CODE).filter(({ path }) => TESTS.test(path) && !path.startsWith("tests/tidy/"));

/** Names that no test speaks of. */
function untested(names: readonly string[]): string[] {
  return names.filter((name) => !tests.some(({ text }) => new RegExp(`\\b${name}\\b`).test(text)));
}

describe("limits", () => {
  it("have names that no two rooms share", () => {
    const names = limits.map(({ name }) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(bounds.length).toBeGreaterThan(60);
  });

  it("stand in docs/limits.md", () => {
    const document = read("docs/limits.md");
    const names = [...limits.map(({ name }) => name), ...LIMIT_NAMES];
    expect(names.filter((name) => !document.includes(`| \`${name}\` |`))).toEqual([]);
  });

  it("are tested: some test speaks of each by its name", () => {
    expect(untested(bounds.filter((name) => !PACES.includes(name)))).toEqual([]);
    expect(PACES.filter((name) => !bounds.includes(name))).toEqual([]);
  });

  it("of a run are tested as well", () => {
    expect(untested(LIMIT_NAMES)).toEqual([]);
  });
});
