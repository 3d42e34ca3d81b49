import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cruiseTree, rules } from "../../scripts/cruise.ts";

type Files = Record<string, string>;

/** The smallest house that keeps every rule, and uses what each rule leaves open. */
const HOUSE: Files = {
  "package.json": '{"name": "house", "type": "module"}',
  "sdk/package.json":
    '{"name": "@gantry/sdk", "type": "module", "exports": {".": "./src/client.ts", "./verify": "./src/verify/verify.ts"}}',
  "sdk/src/client.ts": 'export type { Thing } from "./types.ts";\nexport const client = 1;',
  "sdk/src/types.ts": "export type Thing = 1;",
  "sdk/src/verify/verify.ts": 'import { createHash } from "node:crypto";\nexport const verify = createHash;',
  "cli/src/main.ts":
    'import { client } from "@gantry/sdk";\nimport "@gantry/sdk/verify";\nimport "node:fs";\nconsole.log(client);',
  "isolate/src/host.ts":
    'import type { Thing } from "../../sdk/src/types.ts";\nimport "./protocol.ts";\nexport type A = Thing;',
  "isolate/src/protocol.ts": "export const protocol = 1;",
  "scripts/build.ts": 'import "node:fs";',
  "server/src/main.ts":
    'import "./http/server.ts";\nimport "./identity/routes.ts";\nimport "./offline/audit.ts";\nimport "./serving/parts.ts";',
  "server/src/config.ts": 'import "node:fs";\nexport const config = 1;',
  "server/src/serving/parts.ts":
    'import "../config.ts";\nimport "../identity/routes.ts";\nimport "../http/server.ts";\nimport "node:fs";',
  "server/src/offline/audit.ts":
    'import "../config.ts";\nimport "../storage/adapters/disk.ts";\nimport "../http/logging.ts";\nimport "node:fs";',
  "server/src/kernel/ids.ts": "export const ids = 1;",
  "server/src/storage/contract.ts": 'import "../kernel/ids.ts";\nexport const storage = 1;',
  "server/src/storage/store.ts": 'import "./contract.ts";',
  "server/src/storage/adapters/disk.ts": 'import "node:fs";\nimport "node:worker_threads";',
  "server/src/evidence/contract.ts": 'import "../storage/contract.ts";',
  "server/src/identity/contract.ts": 'import "../evidence/contract.ts";',
  "server/src/identity/routes.ts": 'import "./contract.ts";\nimport "node:crypto";',
  "server/src/identity/routes.test.ts":
    'import "./routes.ts";\nimport "node:fs";\nimport "../../../tests/fixtures/ground.ts";',
  "server/src/execution/contract.ts": "export const execution = 1;",
  "server/src/execution/result.ts":
    'import type { IncomingMessage } from "node:http";\nimport "../../../isolate/src/protocol.ts";\nexport type R = IncomingMessage;',
  "server/src/intent/contract.ts": 'import "../execution/contract.ts";',
  "server/src/pages/routes.ts": 'import "@gantry/sdk";\nimport "../kernel/ids.ts";',
  "server/src/http/logging.ts": "export const log = 1;",
  "server/src/http/server.ts": 'import "node:http";\nimport "../intent/contract.ts";',
  "tests/fixtures/ground.ts": 'import "../../server/src/storage/store.ts";',
};

/** Files that break exactly one rule each, by the rule's name; the first file is the one that breaks it. */
const PLANTED: Record<string, Files[]> = {
  "kernel-looks-up": [{ "server/src/kernel/a.ts": 'import "../storage/contract.ts";' }],
  "storage-looks-up": [{ "server/src/storage/a.ts": 'import "../identity/contract.ts";' }],
  "evidence-looks-up": [{ "server/src/evidence/a.ts": 'import type {} from "../identity/contract.ts";' }],
  "identity-looks-up": [{ "server/src/identity/a.ts": 'import "../intent/contract.ts";' }],
  "policy-looks-up": [{ "server/src/policy/a.ts": 'import "../execution/contract.ts";' }],
  "egress-looks-up": [
    { "server/src/egress/a.ts": 'import "../gates/contract.ts";', "server/src/gates/contract.ts": "export {};" },
  ],
  "gates-looks-up": [{ "server/src/gates/a.ts": 'import "../execution/contract.ts";' }],
  "execution-looks-up": [{ "server/src/execution/a.ts": 'import "../intent/contract.ts";' }],
  "intent-looks-up": [
    { "server/src/intent/a.ts": 'import "../http/contract.ts";', "server/src/http/contract.ts": "export {};" },
  ],
  "mcp-looks-up": [
    { "server/src/mcp/a.ts": 'import "../pages/contract.ts";', "server/src/pages/contract.ts": "export {};" },
  ],
  "pages-looks-up": [
    { "server/src/pages/a.ts": 'import "../mcp/contract.ts";', "server/src/mcp/contract.ts": "export {};" },
  ],
  "clients-of-the-api": [
    { "server/src/pages/a.ts": 'import "../intent/contract.ts";' },
    { "server/src/mcp/a.ts": 'import "../../../sdk/src/types.ts";' },
  ],
  ...Object.fromEntries(
    ["apps", "artifacts", "flags", "workflows", "changes"].map((room) => {
      const beside = room === "apps" ? "flags" : "apps";
      const files = {
        [`server/src/${room}/a.ts`]: `import "../${beside}/contract.ts";`,
        [`server/src/${beside}/contract.ts`]: "export {};",
      };
      return [`${room}-looks-up`, [files]];
    }),
  ),
  ...Object.fromEntries(
    [
      ["evidence", "private"],
      ["evidence", "log"],
      ["evidence", "witness"],
      ["evidence", "account"],
      ["policy", "engine"],
      ["policy", "document"],
      ["policy", "delta"],
      ["policy", "versions"],
      ["egress", "destination"],
      ["egress", "secrets"],
      ["egress", "effects"],
      ["egress", "guards"],
    ].map(([room = "", alcove]) => {
      const behind = { evidence: "audit", policy: "explain", egress: "door" }[room];
      const files = {
        [`server/src/${room}/${alcove}/a.ts`]: `import "../${behind}/b.ts";`,
        [`server/src/${room}/${behind}/b.ts`]: "export {};",
      };
      return [`${room}-${alcove}-looks-on`, [files]];
    }),
  ),
  "contract-only": [
    { "server/src/identity/a.ts": 'import "../storage/store.ts";' },
    { "server/src/http/a.ts": 'import "../identity/routes.ts";' },
  ],
  "below-main": [
    { "server/src/http/a.ts": 'import "../config.ts";' },
    { "server/src/identity/a.ts": 'import type {} from "../config.ts";' },
    { "server/src/storage/a.ts": 'import "../offline/audit.ts";' },
    { "server/src/gates/a.ts": 'import "../serving/contract.ts";', "server/src/serving/contract.ts": "export {};" },
  ],
  "main-alone-composes": [
    { "server/src/a.ts": 'import "./serving/parts.ts";' },
    { "server/src/a.ts": 'import type {} from "./offline/audit.ts";' },
  ],
  "serving-apart": [{ "server/src/serving/a.ts": 'import type {} from "../offline/audit.ts";' }],
  "offline-apart": [
    { "server/src/offline/a.ts": 'import "../serving/parts.ts";' },
    { "server/src/offline/a.ts": 'import "../http/server.ts";' },
    { "server/src/offline/a.ts": 'import "../pages/routes.ts";' },
    { "server/src/offline/a.ts": 'import "../mcp/contract.ts";', "server/src/mcp/contract.ts": "export {};" },
    { "server/src/offline/a.ts": 'import "../identity/routes.ts";' },
  ],
  "drivers-in-adapters": [
    { "server/src/identity/a.ts": 'import "node:fs/promises";' },
    { "server/src/policy/a.ts": 'import { spawn } from "child_process";\nspawn("true");' },
    { "server/src/storage/a.ts": 'import "node:worker_threads";' },
    { "server/src/execution/a.ts": 'import "node:tls";' },
    { "server/src/identity/adapters/a.ts": 'import "node:fs";' },
    { "server/src/intent/a.ts": 'export const fs = () => import("node:fs");' },
  ],
  "sockets-in-adapters": [
    { "server/src/intent/a.ts": 'import type {} from "node:http";' },
    { "server/src/gates/a.ts": 'import "node:net";' },
  ],
  "socket-types-of-doors": [
    { "server/src/egress/a.ts": 'import { Agent } from "node:http";\nnew Agent();' },
    { "server/src/execution/a.ts": 'import "node:net";' },
  ],
  "server-alone": [
    { "server/src/execution/a.ts": 'import "../../../isolate/src/host.ts";' },
    { "server/src/intent/a.ts": 'import "../../../sdk/src/client.ts";' },
    { "server/src/main2.ts": 'import "../../scripts/build.ts";' },
  ],
  "isolate-alone": [{ "isolate/src/a.ts": 'import "../../server/src/evidence/contract.ts";' }],
  "isolate-sdk-types": [{ "isolate/src/a.ts": 'import { client } from "../../sdk/src/client.ts";\nclient;' }],
  "cli-through-sdk": [
    { "cli/src/a.ts": 'import "../../server/src/evidence/contract.ts";' },
    { "cli/src/a.ts": 'import type {} from "../../sdk/src/types.ts";' },
    { "cli/src/a.ts": 'import "../../sdk/src/verify/note.ts";', "sdk/src/verify/note.ts": "export {};" },
  ],
  "sdk-alone": [{ "sdk/src/a.ts": 'import "../../isolate/src/protocol.ts";' }],
  "tests-are-leaves": [
    { "server/src/storage/a.ts": 'import "./store.test.ts";', "server/src/storage/store.test.ts": "export {};" },
    { "scripts/a.ts": 'import "../tests/fixtures/ground.ts";' },
  ],
  "benches-on-fixtures": [{ "bench/a.ts": 'import "../tests/a.test.ts";', "tests/a.test.ts": "export {};" }],
  "no-cycles": [
    { "server/src/storage/a.ts": 'import "./b.ts";', "server/src/storage/b.ts": 'import type {} from "./a.ts";' },
  ],
  resolved: [{ "server/src/storage/a.ts": 'import "./absent.ts";' }],
  "no-floor": [{ "server/src/cellar/a.ts": "export {};" }],
};

/** Rules that a narrower one always accompanies: `kernel-alone` says for all of ours what `kernel-looks-up` says for rooms. */
const PAIRED: Record<string, Files> = {
  "kernel-alone": { "server/src/kernel/a.ts": 'import "../../../sdk/src/client.ts";' },
};

let ground: string;
let trees = 0;

/** Every tree has a directory of its own: the tool remembers by path what it has read. */
async function violationsIn(files: Files): Promise<string[]> {
  const root = join(ground, String(++trees));
  for (const [path, text] of Object.entries({ ...HOUSE, ...files })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  await mkdir(join(root, "node_modules/@gantry"), { recursive: true });
  await symlink("../../sdk", join(root, "node_modules/@gantry/sdk"));
  return (await cruiseTree(root)).violations;
}

beforeAll(async () => {
  ground = await realpath(await mkdtemp(join(tmpdir(), "gantry-boundaries-")));
});
afterAll(() => rm(ground, { recursive: true, force: true }));

describe("the boundary check", () => {
  it("finds nothing in a house that keeps the rules", async () => {
    expect(await violationsIn({})).toEqual([]);
  });

  const planted = Object.entries(PLANTED).flatMap(([rule, trees]) =>
    trees.map((files) => ({ rule, files, at: Object.keys(files)[0] })),
  );
  it.each(planted)("finds a planted break of $rule at $at", async ({ rule, files }) => {
    const found = await violationsIn(files);
    expect(found).not.toEqual([]);
    expect(found.filter((line) => !line.startsWith(`${rule}: `) && !line.startsWith("kernel-alone: "))).toEqual([]);
  });

  it.each(Object.entries(PAIRED))("finds a planted break of %s", async (rule, files) => {
    expect((await violationsIn(files)).some((line) => line.startsWith(`${rule}: `))).toBe(true);
  });

  it("has a planted break for every rule", () => {
    const covered = [...Object.keys(PLANTED), ...Object.keys(PAIRED)];
    // Nothing stands beside or above the top floor, so its rule can not be broken.
    expect(rules.forbidden.map((rule) => rule.name).filter((name) => !covered.includes(name ?? ""))).toEqual([
      "http-looks-up",
    ]);
  });
});
