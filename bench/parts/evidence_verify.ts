/** `evidence-verify`: a bundle of many entries, made by the server's code and verified by the sdk's, which shares none. */
import { join } from "node:path";
import { parseKeys, verify } from "../../sdk/src/verify/verify.ts";
import { LogBundles } from "../../server/src/evidence/account/bundle.ts";
import { RecordedOpening } from "../../server/src/evidence/private/values.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { draft, openLedger, TENANT } from "./evidence_ground.ts";
import { table } from "./measure.ts";

const PER_UNIT = 500;
const MB = 1024 * 1024;

export async function verification(directory: string, entries: number): Promise<void> {
  const { storage, ledger, log, sealer, close } = await openLedger(join(directory, "bundle"));
  for (let n = 0; n < entries; n += PER_UNIT) {
    await storage.write((tx) => {
      for (let i = 0; i < PER_UNIT; i++) ledger.append(tx, draft(n + i));
    });
  }
  await sealer.seal();
  const values = new RecordedOpening({ storage, ledger });
  const bundles = new LogBundles({ storage, clock: systemClock(), log, values });
  const { size } = await log.checkpoint();
  const made_from = performance.now();
  const chunks: Uint8Array[] = [];
  const bundle = await bundles.make({ range: { from: 0, to: size } }, { tenant: TENANT, chain: [] }, () => {});
  for (let next = await bundle.chunks.next(); next.done !== true; next = await bundle.chunks.next()) {
    chunks.push(next.value);
  }
  const made_s = (performance.now() - made_from) / 1_000;
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const keys = parseKeys((await log.keys()).map(({ vkey }) => `${vkey}\n`).join(""));
  const before = process.memoryUsage().rss;
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 10);
  const from = performance.now();
  const report = await verify(stream(chunks), { keys });
  const seconds = (performance.now() - from) / 1_000;
  clearInterval(watch);
  if (report.verdict !== "verified") throw new Error(`the bundle is ${report.verdict}: ${report.problem?.detail}`);
  console.log(`A bundle of ${size} entries, ${(bytes / MB).toFixed(0)} MB`);
  table(
    ["", "per second", "µs each"],
    [
      ["made", (size / made_s).toFixed(0), ((made_s / size) * 1e6).toFixed(1)],
      ["verified", (size / seconds).toFixed(0), ((seconds / size) * 1e6).toFixed(1)],
    ],
  );
  console.log(`Memory above the start while verifying: ${((most - before) / MB).toFixed(0)} MB\n`);
  await close();
}

/** Gives way after each chunk, as a file does. */
async function* stream(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    await new Promise((resolve) => setImmediate(resolve));
    yield chunk;
  }
}
