import { viaCode, viaHost } from "./host.ts";
import { type Targets, viaNetwork } from "./network.ts";
import { attempt } from "./report.ts";

/**
 * Tries to leave the jail by every door that a program might know of, and reports what each attempt
 * came to. The right answer is that none escaped. The run itself completes: a refusal is an ordinary
 * error that code can catch, and each blocked call stands in the run's record.
 */
export default async function breakOut(targets: Targets) {
  const attempts = [...viaNetwork(targets), ...viaHost(targets.file), ...viaCode()];
  const report = [];
  for (const [what, how] of attempts) report.push(await attempt(what, how));
  const escaped = report.filter((entry) => entry.escaped);
  console.log(`${report.length} ways out tried, ${escaped.length} found`);
  return { tried: report.length, escaped: escaped.map((entry) => entry.what), report };
}
