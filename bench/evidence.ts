/**
 * `npm run bench -- evidence`: what it costs to record, seal, prove and verify. `evidence-<part>` is one of its parts. The
 * data lies below the system's directory for temporary files, which must be on a disk: set `TMPDIR`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { append } from "./parts/evidence_append.ts";
import { proof } from "./parts/evidence_proof.ts";
import { overhead } from "./parts/evidence_run.ts";
import { verification } from "./parts/evidence_verify.ts";
import { printMachine } from "./parts/measure.ts";

const PROOF_LEAVES = 10_000_000;
const BUNDLE_ENTRIES = 50_000;
const ROUND_MS = 5_000;

const what = process.argv[2] ?? "";
const parts = ["append", "verify", "proof", "run"];
if (what !== "" && !parts.includes(what)) {
  console.error(`evidence-${what} is not known; the parts of evidence are ${parts.join(", ")}`);
  process.exit(2);
}
const asked = (part: string): boolean => what === "" || what === part;

const directory = mkdtempSync(join(tmpdir(), "gantry-bench-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
printMachine();
if (asked("append")) await append(directory, ROUND_MS);
if (asked("verify")) await verification(directory, BUNDLE_ENTRIES);
if (asked("proof")) await proof(directory, PROOF_LEAVES);
if (asked("run")) await overhead();
process.exit();
