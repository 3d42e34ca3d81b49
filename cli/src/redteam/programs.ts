import type { AttackProgram } from "./program.ts";
import { call_programs } from "./programs_calls.ts";
import { node_programs } from "./programs_node.ts";
import { trick_programs } from "./programs_tricks.ts";

/** Every class of attacks, in the order in which they are run. */
export const attack_programs: readonly AttackProgram[] = [...call_programs, ...node_programs, ...trick_programs];
