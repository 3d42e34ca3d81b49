// Adds up what the runners counted, lists what failed, and what was skipped and why, and ends with the totals on a line of their own.
// Usage: ci_totals.mjs REPORTS [FAILED_STAGE...]
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [directory = ".", ...failed_stages] = process.argv.slice(2);
/**
 * Tests that a host may lack the means for, by a part of their name, with the reason why that is right in CI too.
 * @type {[part: string, reason: string][]}
 */
const EXPLAINED = [];

let passed = 0;
let failed = 0;
let skipped = 0;
let unexplained = 0;
let reports = 0;
for (const file of readdirSync(directory).filter((name) => /^node\d+\.json$/.test(name))) {
  reports += 1;
  const report = JSON.parse(readFileSync(join(directory, file), "utf8"));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  for (const suite of report.testResults) {
    if (suite.status === "failed" && suite.assertionResults.length === 0) {
      failed += 1;
      console.log(`failed (${file}): ${suite.name}: ${suite.message}`);
    }
    for (const test of suite.assertionResults) {
      // Once more at the end: what a log keeps of a long run is its tail.
      if (test.status === "failed")
        console.log(`failed (${file}): ${test.fullName}\n${test.failureMessages.join("\n")}`);
      if (test.status !== "skipped" && test.status !== "pending") continue;
      skipped += 1;
      const reason = EXPLAINED.find(([part]) => test.fullName.includes(part))?.[1];
      if (reason === undefined) unexplained += 1;
      console.log(`skipped (${file}): ${test.fullName}: ${reason ?? "UNEXPLAINED"}`);
    }
  }
}
for (const name of failed_stages) console.log(`stage failed: ${name}`);
const is_red = failed > 0 || unexplained > 0 || failed_stages.length > 0 || reports === 0 || passed === 0;
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(is_red ? 1 : 0);
