import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readConfig } from "./config.ts";
import { NODE_SILENT_MS, NODE_SILENT_MS_MAX, NODE_SILENT_MS_MIN } from "./intent/contract.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gantry-config-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function read(members: Record<string, unknown>) {
  const path = join(directory, "gantry.yaml");
  writeFileSync(path, JSON.stringify(members)); // JSON is YAML
  return readConfig(["--config", path, "--data", join(directory, "d")]);
}

it("blobs lie in the data directory, unless the config file names another place, from its own", () => {
  expect(read({}).blobs).toBe(join(directory, "d", "blobs"));
  expect(read({ blobs: "shared" }).blobs).toBe(join(directory, "shared"));
  expect(read({ blobs: "/srv/blobs" }).blobs).toBe("/srv/blobs");
});

it("a node's silence has bounds", () => {
  expect(read({}).node_silent_ms).toBe(NODE_SILENT_MS);
  for (const ms of [NODE_SILENT_MS_MIN, NODE_SILENT_MS_MAX])
    expect(read({ node_silent_ms: ms }).node_silent_ms).toBe(ms);
  for (const ms of [NODE_SILENT_MS_MIN - 1, NODE_SILENT_MS_MAX + 1]) {
    expect(() => read({ node_silent_ms: ms })).toThrow(/node_silent_ms/);
  }
});
