import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Entry, Page, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { run as runProcess } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { NaiveTree, provesConsistency, provesInclusion } from "../fixtures/tree.ts";

/** Whoever walks the log has curl, SHA-256 and what RFC 6962 and C2SP say; nothing of this project. */
let server: TestServer;
let downloads: string;

beforeAll(async () => {
  server = await startServer();
  downloads = await mkdtemp(join(tmpdir(), "gantry-walk-"));
});
afterAll(async () => {
  await rm(downloads, { recursive: true, force: true });
  await server.dispose();
});

async function curl(path: string, ...args: string[]): Promise<Buffer> {
  const file = join(downloads, "answer");
  const out = await runProcess("curl", ["-sS", "--fail-with-body", "-o", file, ...args, `${server.url}${path}`]);
  const body = await readFile(file);
  expect(out.code, `${path}: ${out.stderr} ${body}`).toBe(0);
  return body;
}
const withToken = () => ["-H", `authorization: Bearer ${server.token}`];
const fromBase64 = (text: string) => Buffer.from(text, "base64");

interface Walked {
  size: number;
  root: Buffer;
  note: string;
}
async function checkpoint(): Promise<Walked> {
  const note = (await curl("/log/checkpoint")).toString();
  const [, size = "", root = ""] = note.split("\n");
  return { size: Number(size), root: fromBase64(root), note };
}

/** `000`, `x001/000`, with `.p/8` behind what is not full. */
function places(size: number): string[] {
  return Array.from({ length: Math.ceil(size / 256) }, (_, n) => {
    const width = Math.min(256, size - n * 256);
    return `${String(n).padStart(3, "0")}${width < 256 ? `.p/${width}` : ""}`;
  });
}

async function leavesOf(size: number): Promise<Buffer[]> {
  const tiles = await Promise.all(places(size).map((place) => server.request(`/log/tile/0/${place}`, { token: null })));
  const bytes = Buffer.concat(await Promise.all(tiles.map(async (tile) => Buffer.from(await tile.arrayBuffer()))));
  return Array.from({ length: bytes.length / 32 }, (_, i) => bytes.subarray(i * 32, i * 32 + 32));
}

async function sealedEntry(run: RunView): Promise<Entry> {
  const last = async () =>
    (await server.json<Page<Entry>>(`/v1/evidence/entries?ref=${run.id}&kind=run.ended`)).items.find(
      (entry) => entry.sealed,
    );
  await eventually(async () => (await last()) !== undefined, "the run's end is in the signed log");
  return (await last())!;
}

const submit = () => server.json<RunView>("/v1/runs", { json: { code: { source: "export default () => 1" } } });

it("tiles, entries, proofs and checkpoints of a live server agree with each other", async () => {
  await sealedEntry(await submit());
  const before = await checkpoint();
  const entry = await sealedEntry(await submit());
  const after = await checkpoint();
  expect(after.size).toBeGreaterThan(before.size);

  const leaves = await leavesOf(after.size);
  expect(leaves).toHaveLength(after.size);
  const tree = new NaiveTree(leaves);
  expect(Buffer.from(tree.root(0, after.size)).equals(after.root)).toBe(true);
  expect(Buffer.from(tree.root(0, before.size)).equals(before.root)).toBe(true);

  const bundled: string[] = [];
  for (const place of places(after.size)) {
    const bundle = await curl(`/log/tile/entries/${place}`, ...withToken());
    for (let at = 0; at < bundle.length; at += 2 + bundle.readUInt16BE(at)) {
      const body = bundle.subarray(at + 2, at + 2 + bundle.readUInt16BE(at));
      bundled.push(createHash("sha256").update(Uint8Array.of(0)).update(body).digest("hex"));
    }
  }
  expect(bundled).toEqual(leaves.map((leaf) => leaf.toString("hex")));

  const [head = "", ...note] = (await curl(`/v1/evidence/entries/${entry.id}/proof`, ...withToken()))
    .toString()
    .split("\n\n");
  const [, extra = "", index = "", ...path] = head.split("\n");
  const body = fromBase64(extra.slice("extra ".length));
  const leaf = createHash("sha256").update(Uint8Array.of(0)).update(body).digest();
  expect(leaf.toString("hex")).toBe(entry.leaf);
  const [, size = "", root = ""] = note.join("\n\n").split("\n");
  const place = Number(index.slice("index ".length));
  expect(provesInclusion(leaf, place, Number(size), path.map(fromBase64), fromBase64(root))).toBe(true);

  const answer = await curl(`/v1/evidence/consistency?from=${before.size}&to=${after.size}`, ...withToken());
  const consistency = JSON.parse(answer.toString()) as { from: { note: string }; proof: string[] };
  expect(consistency.from.note).toBe(before.note);
  const proof = consistency.proof.map(fromBase64);
  expect(provesConsistency(before.size, after.size, proof, [before.root, after.root])).toBe(true);
});
