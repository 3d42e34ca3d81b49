import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { GantryError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { ENTRY_REF_CHARS_MAX, errors, type LogReader, SEAL_EVERY_MS } from "../contract.ts";
import { consistencyPath, inclusionPath } from "./proofs.ts";
import {
  bundleEntries,
  parseBundlePath,
  parseTilePath,
  TILE_WIDTH,
  type TileAt,
  tilePath,
  tileWidth,
} from "./tiles.ts";
import { tlogProof } from "./tlog_proof.ts";
import { readTile } from "./tree.ts";

const BYTES = "application/octet-stream";
/** C2SP tlog-tiles: tiles are immutable, so that they are kept long; a checkpoint is not to outlive a few seconds. */
const FOR_EVER = "public, max-age=31536000, immutable";
const NOT_AT_ALL = "no-store";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface LogRouteDeps<Who extends { tenant: TenantId }> {
  log: LogReader;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:read" | "evidence:audit"): void;
  };
}

interface LogEnv<Who> {
  Variables: { who: Who; request: string };
}

const text = (description: string) => ({ description, content: { "text/plain": { schema: z.string() } } });
const bytes = (description: string) => ({
  description,
  content: { [BYTES]: { schema: z.string().openapi({ format: "binary" }) } },
});
const index_param = z.string().openapi({
  description:
    "`<N>[.p/<W>]` of C2SP tlog-tiles: groups of three digits, all but the last `x001/`; `.p/8`: its first 8.",
});

const checkpointRoute = {
  method: "get",
  path: "/log/checkpoint",
  summary: "The newest signed checkpoint of the log",
  responses: { 200: text("A signed note (C2SP tlog-checkpoint).") },
} as const;

const keysRoute = {
  method: "get",
  path: "/log/keys",
  summary: "The public keys that have signed the log; whoever verifies trusts keys from elsewhere",
  responses: { 200: text("A vkey a line (C2SP signed-note), the newest last.") },
} as const;

const bundleRoute = {
  method: "get",
  path: "/log/tile/entries/{index}",
  summary: "Entries of the log, of every tenant: for `evidence:audit`",
  request: { params: z.object({ index: index_param }) },
  responses: { 200: bytes("Entry bodies, each behind its length, a big-endian uint16.") },
} as const;

const tileRoute = {
  method: "get",
  path: "/log/tile/{level}/{index}",
  summary: "Hashes of the log's Merkle tree",
  request: { params: z.object({ level: z.string().openapi({ description: "0 to 63." }), index: index_param }) },
  responses: { 200: bytes("SHA-256 hashes, 32 bytes each, 256 in a full tile.") },
} as const;

const proofRoute = {
  method: "get",
  path: "/v1/evidence/entries/{id}/proof",
  summary: "Proves without us that an entry is in the log",
  request: { params: z.object({ id: z.string().max(ENTRY_REF_CHARS_MAX) }) },
  responses: { 200: text("c2sp.org/tlog-proof@v1; `extra` is the entry's body, which hashes to the leaf.") },
} as const;

const sizeSchema = z
  .string()
  .max(16)
  .openapi({ description: "A size of the log, in decimal digits.", example: "1000" });
const sideSchema = z.object({
  size: z.int(),
  note: z.string().optional().openapi({ description: "The checkpoint of exactly this size, if it was kept." }),
});

const consistencyRoute = {
  method: "get",
  path: "/v1/evidence/consistency",
  summary: "Proves that the log of one size begins with the log of a smaller one",
  request: { query: z.strictObject({ from: sizeSchema, to: sizeSchema.optional() }) },
  responses: {
    200: {
      description: "The hashes of RFC 6962, 2.1.2, in base64. Without `to`, the newest checkpoint is meant.",
      content: {
        "application/json": { schema: z.object({ from: sideSchema, to: sideSchema, proof: z.array(z.string()) }) },
      },
    },
  },
} as const;

/**
 * The signed log over HTTP. Checkpoint, keys and tiles say nothing of what is recorded, and are for everybody; entry
 * bundles and proofs need a token, which `http/` has judged before.
 */
export function logRoutes<Who extends { tenant: TenantId }>(deps: LogRouteDeps<Who>): OpenAPIHono<LogEnv<Who>> {
  const app = new OpenAPIHono<LogEnv<Who>>();
  treeRoutes(app, deps);
  proofRoutes(app, deps);
  return app;
}

function treeRoutes<Who extends { tenant: TenantId }>(
  app: OpenAPIHono<LogEnv<Who>>,
  { log, identity }: LogRouteDeps<Who>,
): void {
  app.openapi(createRoute(checkpointRoute), async (c) => {
    const { note } = await log.checkpoint();
    return c.text(note, 200, { "cache-control": "no-cache" });
  });
  app.openapi(createRoute(keysRoute), async (c) => {
    const keys = await log.keys();
    const lines = keys.map(({ vkey }) => `${vkey}\n`).join("");
    return c.text(lines, 200, { "cache-control": "no-cache" });
  });
  app.openAPIRegistry.registerPath(bundleRoute);
  app.openAPIRegistry.registerPath(tileRoute);
  // A parameter of OpenAPI has no slash in it, an index has: described as two routes, routed as one.
  app.get("/log/tile/:level/:index{[^]+}", async (c) => {
    const { level, index } = c.req.param();
    if (level === "entries") {
      identity.demand(c.get("who"), "evidence:audit");
      return answerBytes(c, await bundleOf(log, index), NOT_AT_ALL);
    }
    const tile = parseTilePath(`${level}/${index}`);
    await demandTile(log, tile);
    return answerBytes(c, await readTile(log.tiles, tile), FOR_EVER);
  });
}

function proofRoutes<Who extends { tenant: TenantId }>(
  app: OpenAPIHono<LogEnv<Who>>,
  { log, identity }: LogRouteDeps<Who>,
): void {
  /** Before the schema is judged: who may not read learns nothing about how to ask. */
  const middleware: MiddlewareHandler<LogEnv<Who>> = (c, next) => {
    identity.demand(c.get("who"), "evidence:read");
    return next();
  };
  app.openapi(createRoute({ ...proofRoute, middleware }), async (c) => {
    const proof = await prove(log, c.req.valid("param").id, c.get("who").tenant);
    return c.text(proof, 200, { "cache-control": NOT_AT_ALL });
  });
  app.openapi(createRoute({ ...consistencyRoute, middleware }), async (c) => {
    const asked = c.req.valid("query");
    const newest = await log.checkpoint();
    const from = sizeOf(asked.from);
    const to = asked.to === undefined ? newest.size : sizeOf(asked.to);
    if (to > newest.size) throw badRange(`The newest checkpoint has ${newest.size} entries, not yet ${to}.`);
    const proof = await consistencyPath(log.tiles, from, to);
    return c.json({ from: await side(log, from), to: await side(log, to), proof: proof.map(base64) }, 200);
  });
}

async function bundleOf(log: LogReader, path: string): Promise<Uint8Array> {
  const bundle = { level: 0, ...parseBundlePath(path) };
  await demandTile(log, bundle);
  const from = bundle.n * TILE_WIDTH;
  const bodies = await log.bodies(from, from + bundle.width);
  if (bodies.length !== bundle.width) throw lacking(bodies.length, bundle);
  return bundleEntries(bodies);
}

/** An entry that is proved by the newest checkpoint, as text. */
async function prove(log: LogReader, id: string, tenant: TenantId): Promise<string> {
  const index = await log.indexOf(id, tenant);
  if (index === undefined) throw notSealed();
  const { size, note } = await log.checkpoint();
  // The index was read before the checkpoint, but only a released one counts.
  if (index >= size) throw notSealed();
  const [path, [extra]] = await Promise.all([inclusionPath(log.tiles, index, size), log.bodies(index, index + 1)]);
  if (extra === undefined) throw lacking(0, { level: 0, n: Math.floor(index / TILE_WIDTH), width: 1 });
  return tlogProof({ index, extra, path, note });
}

async function side(log: LogReader, size: number): Promise<{ size: number; note?: string }> {
  const kept = await log.checkpointAt(size);
  return kept === undefined ? { size } : { size, note: kept.note };
}

/** Only what a released checkpoint covers is served: what is beyond it could still come out otherwise. */
async function demandTile(log: LogReader, tile: TileAt): Promise<void> {
  const { size } = await log.checkpoint();
  const width = tileWidth(size, tile.level, tile.n);
  if (tile.width <= width) return;
  const there = width === 0 ? "nothing of it" : `${width} hashes of it`;
  throw new GantryError(errors.UNKNOWN_TILE, {
    detail: `A log of ${size} entries has no tile ${tilePath(tile)}: there is ${there}.`,
  });
}

function answerBytes(c: Context, body: Uint8Array, cache: string): Response {
  return c.body(new Uint8Array(body), 200, { "content-type": BYTES, "cache-control": cache });
}

/** Decimal digits as tlog-checkpoint writes a size; NaN, which no proof accepts, for anything else. */
function sizeOf(digits: string): number {
  return /^(0|[1-9]\d*)$/.test(digits) ? Number(digits) : Number.NaN;
}

function base64(hash: Uint8Array): string {
  return Buffer.from(hash).toString("base64");
}

function notSealed(): GantryError {
  return new GantryError(errors.NOT_SEALED, {
    detail: `The entry waits for the next checkpoint; ask again in ${SEAL_EVERY_MS} ms.`,
    retry_after_ms: SEAL_EVERY_MS,
  });
}

function badRange(detail: string): GantryError {
  return new GantryError(errors.BAD_RANGE, { detail });
}

function lacking(held: number, { n, width }: TileAt): GantryError {
  return new GantryError(errors.FORKED, {
    detail: `Of the entries under tile 0/${n} ${width} were asked for, and the store has ${held}.`,
  });
}
