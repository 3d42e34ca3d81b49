// `npm run check:boundaries`: who may import whom. It also checks how much it looked at, because a boundary check that
// finds no files finds no faults either (dependency-cruiser 17.4.3 reads nothing with TypeScript 7, and reports success).
import { fileURLToPath } from "node:url";
import { cruiseTree } from "./cruise.ts";

/** About nine tenths of the modules that there are; raise it as the tree grows. */
const CRUISED_MODULES_MIN = 1_150;

const { modules, violations } = await cruiseTree(fileURLToPath(new URL("..", import.meta.url)));
for (const violation of violations) console.error(violation);
if (modules.length < CRUISED_MODULES_MIN) {
  console.error(`only ${modules.length} modules were looked at; at least ${CRUISED_MODULES_MIN} are expected`);
}
console.log(`${modules.length} modules, ${violations.length} violations`);
if (violations.length > 0 || modules.length < CRUISED_MODULES_MIN) process.exitCode = 1;
