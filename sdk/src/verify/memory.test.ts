import { execFileSync } from "node:child_process";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeEntry, NaiveLog, newSigner } from "../../../tests/fixtures/evidence_material.ts";

/** Verifies the file of its second argument with the key of its third; prints the verdict and its peak memory. */
const PROGRAM = `
  const { createReadStream, readFileSync } = await import("node:fs");
  const { parseKeys, verify } = await import(process.argv[1]);
  let peak = 0;
  // Not what the system says of the process's peak: on Linux that begins with the one of the process that started it.
  async function* watched(chunks) {
    for await (const chunk of chunks) {
      peak = Math.max(peak, process.memoryUsage.rss());
      yield chunk;
    }
  }
  const keys = parseKeys(readFileSync(process.argv[3], "utf8"));
  const report = await verify(watched(createReadStream(process.argv[2])), { keys });
  console.log(JSON.stringify([report.verdict, report.bundle?.count, peak]));
`;

it("memory does not grow with the bundle", { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "gantry-memory-"));
  try {
    const signer = newSigner("example.com/log");
    const key = join(directory, "log.pub");
    await writeFile(key, signer.vkey);
    const peakOf = async (count: number) => {
      const entries = Array.from({ length: count }, (_, n) => makeEntry(n, { value: "x".repeat(60_000) }));
      const file = join(directory, "bundle");
      await writeFile(
        file,
        new NaiveLog(entries, [signer]).bundle(Object.keys(entries).map(Number), { fields: ["value"] }),
      );
      const module = new URL("verify.ts", import.meta.url).href;
      const args = ["--import", "tsx", "--input-type=module", "-e", PROGRAM, module, file, key];
      const [verdict, verified, peak] = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
      expect([verdict, verified]).toEqual(["verified", count]);
      return { peak: Number(peak), bytes: (await stat(file)).size };
    };
    const [small, large] = [await peakOf(32), await peakOf(400)];
    const grown = large.bytes - small.bytes;
    expect(grown).toBeGreaterThan(25_000_000);
    expect(large.peak - small.peak).toBeLessThan(grown / 2);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
