import { spawnSync } from "node:child_process";
import { open } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";
import { CHILD, type Child, start } from "./child.ts";
import { audit, openChildStore, SOUND, saidOf } from "./storage_child.ts";

const SEED = Number(process.env["SEED"] ?? 20_261_024);
const KILLS = 8;

/** Numbers of [0, 1) that depend on the seed alone (a linear congruential generator modulo 2^32). */
function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("the embedded store", () => {
  let directory: { path: string; remove(): Promise<void> };
  let children: Child[];
  const launch = (...command: string[]): Child => {
    const child = start(command);
    children.push(child);
    return child;
  };

  beforeEach(async () => {
    directory = await temporaryDirectory();
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.process.kill("SIGKILL");
    await Promise.all(children.map((child) => child.ended));
    await directory.remove();
  });

  it(`keeps every acknowledged unit, and no part of another, over ${KILLS} kills (SEED=${SEED})`, async () => {
    const random = chance(SEED);
    const lines: Child["lines"] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const child = launch(...CHILD, "write", directory.path);
      const units = 1 + Math.floor(random() * 600);
      await eventually(() => child.lines.filter((line) => line.acknowledged).length >= units, "units", 30_000);
      child.process.kill("SIGKILL");
      await child.ended;
      lines.push(...child.lines);
    }
    const said = saidOf(lines);
    expect(said.acknowledged.length).toBeGreaterThan(KILLS);
    const storage = await openChildStore(directory.path);
    try {
      expect(await audit(storage, said, KILLS)).toEqual(SOUND);
    } finally {
      await storage.close();
    }
  });

  it("is one process's: a second is refused while it lives, and let in when it was killed", async () => {
    const child = launch(...CHILD, "hold", directory.path);
    await eventually(() => child.lines.length > 0, "the child to open its store", 30_000);
    const second = launch(...CHILD, "write", directory.path);
    await expect(openChildStore(directory.path)).rejects.toMatchObject({ code: "STORAGE_LOCKED" });
    await second.ended;
    expect(second.lines).toEqual([{ failed: "STORAGE_LOCKED" }]);
    child.process.kill("SIGKILL");
    await child.ended;
    await (await openChildStore(directory.path)).close();
  });

  it("ends its process with code 70 when a page is corrupt, and acknowledges nothing then", async () => {
    const storage = await openChildStore(directory.path);
    await storage.write((tx) => {
      for (let part = 0; part < 500; part++) {
        tx.run("INSERT INTO parts (unit, part, body) VALUES (?, ?, ?)", ["a", part, new Uint8Array(500)]);
      }
    });
    await storage.close();
    const file = await open(`${directory.path}/gantry.db`, "r+");
    const { size } = await file.stat();
    const PAGE_BYTES = 4_096;
    for (let at = 20 * PAGE_BYTES; at < size; at += PAGE_BYTES)
      await file.write(new Uint8Array(PAGE_BYTES).fill(0xa5), 0, PAGE_BYTES, at);
    await file.close();
    const child = launch(...CHILD, "scrub", directory.path);
    expect(await child.ended).toBe(70);
    expect(child.lines).toEqual([{ open: true }]);
  });

  it("serves reads while its disk is full, and writes again when there is space", async (ctx) => {
    const enter = ["unshare", "--user", "--map-root-user", "--mount"];
    const probe = spawnSync(enter[0]!, [...enter.slice(1), "mount", "-t", "tmpfs", "tmpfs", directory.path]);
    const reason = `${probe.error?.message ?? String(probe.stderr).trim()}`;
    need(ctx, "userns", probe.status === 0 ? undefined : reason);
    const script = 'mount -t tmpfs -o size=24m,mode=700 tmpfs "$1" && shift && exec "$@"';
    const child = launch(...enter, "sh", "-c", script, "sh", directory.path, ...CHILD, "fill", directory.path);
    expect(await child.ended).toBe(0);
    const [opened, full, refused, recovered] = child.lines;
    expect(opened).toEqual({ open: true });
    expect(full).toMatchObject({ full: "STORAGE_FULL", codes: ["STORAGE_FULL"] });
    expect(Number(full?.["acknowledged"])).toBeGreaterThan(10);
    expect(refused).toEqual({ refused: "STORAGE_FULL", blob: "STORAGE_FULL", readable: true });
    expect(recovered).toEqual({ recovered: true, lost: [], torn: [] });
  });
});
