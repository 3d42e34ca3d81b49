import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { NaiveTree, provesConsistency, provesInclusion } from "../../../../tests/fixtures/tree.ts";
import { createApp } from "../../http/app.ts";
import { createPrometheus } from "../../http/metrics.ts";
import type { EntryId } from "../../kernel/ids.ts";
import { silentLogger } from "../../kernel/log.ts";
import { noMetrics } from "../../kernel/telemetry.ts";
import { ENTRY_REF_CHARS_MAX, type LogReader, SEAL_EVERY_MS } from "../contract.ts";
import { LogGuard } from "./guard.ts";
import { StoredLog } from "./reader.ts";
import { logRoutes } from "./routes.ts";
import { Sealer } from "./sealer.ts";
import { HASH_BYTES, TILE_LEVEL_MAX, TILE_WIDTH } from "./tiles.ts";
import { leafHash } from "./tree.ts";

/** More than two full tiles, less than three. */
const SIZE = 600;
const FOR_EVER = "public, max-age=31536000, immutable";

let ground: Ground;
let sealer: Sealer;
let log: StoredLog;
let app: ReturnType<typeof createApp>;
let ids: EntryId[];
/** Sizes that have a checkpoint. */
let sizes: number[];
let tree: NaiveTree;

function appOver(reader: LogReader): ReturnType<typeof createApp> {
  return createApp({
    identity: ground.identity,
    routes: [logRoutes({ log: reader, identity: ground.identity })],
    checks: {},
    prometheus: createPrometheus(),
    metrics: noMetrics,
    clock: ground.clock,
    ids: ground.ids,
    log: silentLogger,
    version: "0.0.0",
  });
}

function append(count: number): Promise<EntryId[]> {
  const { storage, ledger, owner } = ground;
  return storage.write(async (tx) =>
    Array.from({ length: count }, (_, n) =>
      ledger.append(tx, { kind: "note.made", tenant: owner.tenant, actor: [], data: { n } }),
    ),
  );
}

beforeAll(async () => {
  ground = await openGround({ kinds: { "note.made": z.strictObject({ n: z.int() }) } });
  const { storage, files, clock, random } = ground;
  const guard = new LogGuard(noMetrics);
  const parts = { storage, files, clock, random, guard, metrics: noMetrics, log: silentLogger, owner: "test" };
  sealer = new Sealer({ ...parts, origin: "example.org/log" });
  await sealer.start();
  log = new StoredLog(storage);
  app = appOver(log);
  await sealer.seal();
  const { size: first } = await log.checkpoint();
  sizes = [first];
  ids = await append(250 - first);
  await sealer.seal();
  sizes.push(250);
  while (first + ids.length < SIZE) ids.push(...(await append(Math.min(100, SIZE - first - ids.length))));
  await sealer.seal();
  sizes.push((await log.checkpoint()).size);
  const bodies = await log.bodies(0, SIZE);
  tree = new NaiveTree(bodies.map((body) => leafHash(body)));
});
afterAll(async () => {
  await sealer.close();
  await ground.remove();
});

const get = (path: string, token?: string) =>
  app.request(path, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });
const bytesOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer());
async function refused(answer: Response, status: number, code: string): Promise<{ detail: string }> {
  const body = (await answer.json()) as { code: string; detail: string };
  expect({ status: answer.status, code: body.code }).toEqual({ status, code });
  return body;
}
const hashes = (from: number, to: number) => Buffer.concat(tree.leaves.slice(from, to));
const fromBase64 = (text: string) => Buffer.from(text, "base64");

describe("the public log", () => {
  it("shows its newest checkpoint and its keys to everybody", async () => {
    expect(sizes).toEqual([expect.any(Number), 250, SIZE]);
    const answer = await get("/log/checkpoint");
    expect(answer.headers.get("content-type")?.toLowerCase()).toBe("text/plain; charset=utf-8");
    expect(answer.headers.get("cache-control")).toBe("no-cache");
    const note = await answer.text();
    expect(note).toBe((await log.checkpoint()).note);
    expect(note).toMatch(new RegExp(`^example.org/log\n${SIZE}\n`));
    expect(note.split("\n")[2]).toBe(Buffer.from(tree.root(0, SIZE)).toString("base64"));
    const keys = await get("/log/keys");
    expect(keys.headers.get("content-type")?.toLowerCase()).toBe("text/plain; charset=utf-8");
    expect(await keys.text()).toMatch(/^example\.org\/log\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}\n$/);
  });

  it.each([
    ["0/000", 0, 256],
    ["0/001", 256, 512],
    ["0/002.p/88", 512, 600],
    ["0/002.p/1", 512, 513],
    // A partial form of a tile that is full by now.
    ["0/000.p/250", 0, 250],
  ])("has the leaf hashes of tile %s", async (path, from, to) => {
    const answer = await get(`/log/tile/${path}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/octet-stream");
    expect(answer.headers.get("cache-control")).toBe(FOR_EVER);
    expect((await bytesOf(answer)).equals(hashes(from, to))).toBe(true);
  });

  it("has the roots of full tiles on the level above", async () => {
    const two = await bytesOf(await get("/log/tile/1/000.p/2"));
    expect(two.equals(Buffer.concat([tree.root(0, 256), tree.root(256, 512)]))).toBe(true);
    expect((await bytesOf(await get("/log/tile/1/000.p/1"))).equals(two.subarray(0, HASH_BYTES))).toBe(true);
  });

  it.each(["0/002", "0/002.p/89", "0/003.p/1", "0/x001/000", "1/000", "1/000.p/3", "1/001.p/1", "2/000.p/1"])(
    "has no tile %s",
    async (path) => {
      const { detail } = await refused(await get(`/log/tile/${path}`), 404, "EVIDENCE_UNKNOWN_TILE");
      expect(detail).toContain(`A log of ${SIZE} entries has no tile ${path}`);
    },
  );

  it.each([
    "0/0",
    "00/000",
    "0/x000/000",
    "0/000.p/0",
    "0/000.p/256",
    "0/000.p/01",
    `${TILE_LEVEL_MAX + 1}/000`,
    `0/${"x001/".repeat(1_000)}000`,
    "0/000%0a",
  ])("refuses %s, which is no tile's path", async (path) => {
    await refused(await get(`/log/tile/${path}`), 400, "EVIDENCE_BAD_RANGE");
  });

  it("knows no other paths and no other methods", async () => {
    await refused(await get("/log"), 404, "REQUEST_UNKNOWN_PATH");
    await refused(await get("/log/tile/0"), 404, "REQUEST_UNKNOWN_PATH");
    await refused(await get("/log/tile/x/000"), 400, "EVIDENCE_BAD_RANGE");
    await refused(await app.request("/log/checkpoint", { method: "POST" }), 405, "REQUEST_METHOD");
    await refused(await app.request("/log/tile/0/000", { method: "POST" }), 405, "REQUEST_METHOD");
  });

  it("shows nothing that no released checkpoint covers", async () => {
    const older = appOver({ ...readerOf(log), checkpoint: async () => (await log.checkpointAt(250))! });
    await refused(await older.request("/log/tile/0/000"), 404, "EVIDENCE_UNKNOWN_TILE");
    const covered = await older.request("/log/tile/0/000.p/250");
    expect((await bytesOf(covered)).equals(hashes(0, 250))).toBe(true);
    const headers = { authorization: `Bearer ${ground.secret}` };
    const last = ids.at(-1);
    await refused(await older.request(`/v1/evidence/entries/${last}/proof`, { headers }), 409, "EVIDENCE_NOT_SEALED");
    const past = await older.request(`/v1/evidence/consistency?from=1&to=${SIZE}`, { headers });
    expect((await refused(past, 400, "EVIDENCE_BAD_RANGE")).detail).toContain("has 250 entries");
  });

  it("says so when nothing is sealed yet, and when the store lacks what was signed", async () => {
    const empty = await openGround();
    try {
      const before = appOver(new StoredLog(empty.storage));
      await refused(await before.request("/log/checkpoint"), 409, "EVIDENCE_NOT_SEALED");
      await refused(await before.request("/log/tile/0/000.p/1"), 409, "EVIDENCE_NOT_SEALED");
      const lacking = appOver({ ...readerOf(new StoredLog(empty.storage)), checkpoint: () => log.checkpoint() });
      await refused(await lacking.request("/log/tile/0/000"), 503, "EVIDENCE_FORKED");
      const headers = { authorization: `Bearer ${ground.secret}` };
      await refused(await lacking.request("/log/tile/entries/000", { headers }), 503, "EVIDENCE_FORKED");
    } finally {
      await empty.remove();
    }
  });
});

/** The members of a reader, to be put together anew. */
function readerOf(reader: LogReader): LogReader {
  return {
    tiles: reader.tiles,
    checkpoint: () => reader.checkpoint(),
    checkpointAt: (size) => reader.checkpointAt(size),
    keys: () => reader.keys(),
    bodies: (from, to) => reader.bodies(from, to),
    indexOf: (id, tenant) => reader.indexOf(id, tenant),
  };
}

describe("entry bundles", () => {
  it.each([
    ["000", 0, 256],
    ["002.p/88", 512, 600],
    ["001.p/3", 256, 259],
  ])("%s has entries that hash to the leaves of its tile", async (path, from, to) => {
    const answer = await get(`/log/tile/entries/${path}`, ground.secret);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const bundle = await bytesOf(answer);
    const leaves: Uint8Array[] = [];
    for (let at = 0; at < bundle.length; at += 2 + bundle.readUInt16BE(at)) {
      leaves.push(leafHash(bundle.subarray(at + 2, at + 2 + bundle.readUInt16BE(at))));
    }
    expect(leaves).toHaveLength(to - from);
    expect(Buffer.concat(leaves).equals(hashes(from, to))).toBe(true);
  });

  it("need a token with evidence:audit", async () => {
    for (const path of ["entries/000", "entries/002", "entries/zz", "entries/x001/000", "%65ntries/000"]) {
      await refused(await get(`/log/tile/${path}`), 401, "AUTH_REQUIRED");
    }
    await refused(await get("/log/tile/%2565ntries/000"), 400, "EVIDENCE_BAD_RANGE");
    const { secret } = await ground.identity.mintToken(ground.owner, { scopes: ["evidence:read"] });
    for (const path of ["000", "002", "zz"]) {
      await refused(await get(`/log/tile/entries/${path}`, secret), 403, "SCOPE_MISSING");
    }
  });

  it("end where the log ends, and have one path each", async () => {
    for (const path of ["002", "002.p/89", "003.p/1"]) {
      await refused(await get(`/log/tile/entries/${path}`, ground.secret), 404, "EVIDENCE_UNKNOWN_TILE");
    }
    for (const path of ["2", "x000/002.p/1", "000.p/256"]) {
      await refused(await get(`/log/tile/entries/${path}`, ground.secret), 400, "EVIDENCE_BAD_RANGE");
    }
  });
});

describe("the proof of an entry", () => {
  it("leads from its body to the root of the checkpoint that it brings", async () => {
    for (const id of [ids[0], ids[249], ids[400], ids.at(-1)]) {
      const answer = await get(`/v1/evidence/entries/${id}/proof`, ground.secret);
      expect(answer.headers.get("content-type")?.toLowerCase()).toBe("text/plain; charset=utf-8");
      const text = await answer.text();
      const [head = "", ...rest] = text.split("\n\n");
      const [header, extra = "", index = "", ...path] = head.split("\n");
      expect(header).toBe("c2sp.org/tlog-proof@v1");
      const body = fromBase64(extra.replace(/^extra /, ""));
      expect(JSON.parse(body.toString())).toMatchObject({ id });
      const place = Number(index.replace(/^index /, ""));
      expect(place).toBe(await log.indexOf(String(id), ground.owner.tenant));
      const root = tree.root(0, SIZE);
      expect(provesInclusion(leafHash(body), place, SIZE, path.map(fromBase64), root)).toBe(true);
      expect(rest.join("\n\n")).toBe((await log.checkpoint()).note);
    }
  });

  it("waits for the next checkpoint, and says how long", async () => {
    const pending = appOver({ ...readerOf(log), indexOf: async () => undefined });
    const headers = { authorization: `Bearer ${ground.secret}` };
    const answer = await pending.request(`/v1/evidence/entries/${ids[0]}/proof`, { headers });
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(await answer.json()).toMatchObject({
      status: 409,
      code: "EVIDENCE_NOT_SEALED",
      retry_after_ms: SEAL_EVERY_MS,
    });
  });

  it("is for evidence:read in the entry's own tenant", async () => {
    const path = `/v1/evidence/entries/${ids[0]}/proof`;
    await refused(await get(path), 401, "AUTH_REQUIRED");
    const { secret } = await ground.identity.mintToken(ground.owner, { scopes: ["run:read"] });
    await refused(await get(path, secret), 403, "SCOPE_MISSING");
    await refused(await get("/v1/evidence/consistency?from=x", secret), 403, "SCOPE_MISSING");
    const other = await ground.identity.createTenant(ground.owner, "other");
    await refused(await get(path, other.token.secret), 404, "EVIDENCE_UNKNOWN");
    await refused(await get("/v1/evidence/entries/ent_0/proof", ground.secret), 404, "EVIDENCE_UNKNOWN");
    const long = "e".repeat(ENTRY_REF_CHARS_MAX + 1);
    await refused(await get(`/v1/evidence/entries/${long}/proof`, ground.secret), 400, "REQUEST_INVALID");
  });
});

describe("the proof of consistency", () => {
  interface Consistency {
    from: { size: number; note?: string };
    to: { size: number; note?: string };
    proof: string[];
  }
  const ask = (query: string) => get(`/v1/evidence/consistency?${query}`, ground.secret);

  it("leads from any size to any later one, with the notes that were kept", async () => {
    for (const [from, to] of [
      [1, SIZE],
      [250, SIZE],
      [100, 250],
      [250, 250],
      [255, TILE_WIDTH],
    ] as const) {
      const body = (await (await ask(`from=${from}&to=${to}`)).json()) as Consistency;
      const noteAt = async (size: number) => (await log.checkpointAt(size))?.note;
      expect(body.from).toEqual({ size: from, note: await noteAt(from) });
      expect(body.to).toEqual({ size: to, note: await noteAt(to) });
      const roots: [Uint8Array, Uint8Array] = [tree.root(0, from), tree.root(0, to)];
      expect(provesConsistency(from, to, body.proof.map(fromBase64), roots)).toBe(true);
    }
    const newest = (await (await ask("from=250")).json()) as Consistency;
    expect(newest.to.size).toBe(SIZE);
    expect(newest.from.note).toContain("\n250\n");
  });

  it.each([
    "from=0&to=250",
    "from=0",
    "from=251&to=250",
    `from=1&to=${SIZE + 1}`,
    `from=${SIZE + 1}`,
    "from=1.5&to=250",
    "from=-1",
    "from=01",
    "from=1e2",
    "from=&to=250",
    "from=1&to=",
    "from=9007199254740993",
    "from=NaN",
  ])("%s does not exist", async (query) => {
    const { detail } = await refused(await ask(query), 400, "EVIDENCE_BAD_RANGE");
    expect(detail).toMatch(/\.$/);
  });

  it("of no stated or of an endless size is not a request", async () => {
    for (const query of ["", "to=1", "from=1&too=2", `from=${"1".repeat(17)}`]) {
      await refused(await ask(query), 400, "REQUEST_INVALID");
    }
  });
});

it("every route is described, with a token where one is needed", async () => {
  const { paths } = (await (await get("/v1/openapi.json")).json()) as {
    paths: Record<string, { get: { security?: unknown; responses: Record<string, { content: object }> } }>;
  };
  const described = Object.keys(paths).filter((path) => path.startsWith("/log/") || path.startsWith("/v1/"));
  expect(described.sort()).toEqual([
    "/log/checkpoint",
    "/log/keys",
    "/log/tile/entries/{index}",
    "/log/tile/{level}/{index}",
    "/v1/evidence/consistency",
    "/v1/evidence/entries/{id}/proof",
  ]);
  for (const path of described) {
    const needs_token = path.startsWith("/v1/") || path.startsWith("/log/tile/entries/");
    expect(paths[path]!.get.security, path).toEqual(needs_token ? [{ token: [] }] : undefined);
    expect(paths[path]!.get.responses["default"], path).toBeDefined();
  }
  expect(Object.keys(paths["/log/tile/{level}/{index}"]!.get.responses["200"]!.content)).toEqual([
    "application/octet-stream",
  ]);
});
