/**
 * `npm run bench -- policy`: what it costs to know who asks and whether they may. `policy-decide` against bare Cedar on the same
 * policies, `policy-memory` over twenty thousand contracts, `policy-identity` against one hash and one bare signature check,
 * `policy-gates` beside a run that waits for nobody.
 */
import { printMachine } from "./parts/measure.ts";
import { decisions } from "./parts/policy_decide.ts";
import { gated } from "./parts/policy_gates.ts";
import { identities } from "./parts/policy_identity.ts";
import { memory, opening } from "./parts/policy_memory.ts";

const PARTS: Record<string, () => Promise<void>> = {
  decide: decisions,
  memory: async () => {
    await memory();
    await opening();
  },
  identity: identities,
  gates: gated,
};

const what = process.argv[2] ?? "";
const parts = what === "" ? Object.values(PARTS) : [PARTS[what]];
printMachine();
for (const part of parts) {
  if (part === undefined) {
    console.error(`policy-${what} is not known; parts of policy are ${Object.keys(PARTS).join(", ")}`);
    process.exit(2);
  }
  await part();
}
process.exit();
