import { describe, expect, it } from "vitest";
import { vkeyOf } from "../evidence/log/note.ts";
import type { Manifest } from "./backup_manifest.ts";
import type { Held } from "./checkpoints_known.ts";
import { gapOf, noteToKeep } from "./restore_gap.ts";

const LOG = { origin: "a.test/log", size: 10, root: "r10" };
const MANIFEST: Manifest = { format: 1, version: "1", created_at: 5, engine: "sqlite", log: LOG, files: [] };
const held = (size: number, more: Partial<Held> = {}): Held => ({
  where: `the copy of ${size}`,
  origin: LOG.origin,
  size,
  root: `r${size}`,
  note: `note ${size}`,
  ...more,
});
const gap = (all: Held[], vkeys: string[] = []) => gapOf(MANIFEST, { held: all, silent: [] }, vkeys);
const KEY = vkeyOf(LOG.origin, new Uint8Array(32));

describe("what a backup lacks of its log", () => {
  it("is not known when nobody could be asked", () => {
    expect(gap([])).toMatchObject({ state: "unasked", lost: 0 });
  });

  it("is nothing when nobody holds more", () => {
    expect(gap([held(9), held(10)])).toMatchObject({ state: "whole", lost: 0, held: [{ size: 9 }, { size: 10 }] });
  });

  it("is counted by the largest checkpoint that was signed, and whoever holds more is named", () => {
    const all = [held(9), held(12), held(15)];
    expect(gap(all)).toMatchObject({ state: "lost", lost: 5, from: 10, to: 15, held: [{ size: 12 }, { size: 15 }] });
    expect(noteToKeep(MANIFEST, all)).toBe("note 15");
  });

  it("may be another log of the same size", () => {
    const other = held(10, { root: "other" });
    expect(gap([other])).toMatchObject({ state: "lost", lost: 0 });
    expect(noteToKeep(MANIFEST, [other])).toBe(other.note);
  });

  it("is all that came after its end, when the directory has a successor of it", () => {
    const successor = held(12, { origin: "b.test/log" });
    expect(gap([successor], [KEY])).toMatchObject({ state: "succeeded", held: [{ origin: "b.test/log" }] });
    expect(noteToKeep(MANIFEST, [successor])).toBeUndefined();
  });

  it("has nothing to do with the log of a stranger", () => {
    expect(gap([held(12, { origin: "b.test/log" })])).toMatchObject({ state: "unasked" });
  });
});
