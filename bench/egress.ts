/**
 * `npm run bench -- egress`: what the door out costs. `egress-calls` against undici alone on loopback, in interleaved rounds;
 * `egress-stream`: memory while a long answer goes to a slow reader.
 */
import { calls } from "./parts/egress_calls.ts";
import { stream } from "./parts/egress_stream.ts";
import { printMachine } from "./parts/measure.ts";

const PARTS: Record<string, () => Promise<void>> = { calls, stream };

const what = process.argv[2] ?? "";
const parts = what === "" ? Object.values(PARTS) : [PARTS[what]];
printMachine();
for (const part of parts) {
  if (part === undefined) {
    console.error(`egress-${what} is not known; parts of egress are ${Object.keys(PARTS).join(", ")}`);
    process.exit(2);
  }
  await part();
}
process.exit();
