import type { RunCall } from "../../../../isolate/src/protocol.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { RunnerId } from "../../kernel/ids.ts";
import { readAnswer } from "../result.ts";
import { JailedProcess } from "./jailed_process.ts";
import type { Jail } from "./jails.ts";
import type { RuntimeDir } from "./runtime_dir.ts";

/** What the pool asks of this folder: a process that is ready for a guest. */
export type Boot = (id: RunnerId, memory_mb: number) => Promise<JailedProcess>;

const PRIME_MS_MAX = 5_000;

/** A throw-away program, loaded once in every new process: the first guest must not pay for what the engine sets up lazily. */
const PRIMER: RunCall = {
  run: "",
  deadline: 0,
  entry: "primer.js",
  modules: { "primer.js": { js: "export default () => 1;" } },
  node_compat: false,
  vars: {},
  input: "null",
  output_bytes_max: 16,
  log_nonce: "",
  host_nonce: "",
};

/** Boots and primes runners in one jail. Rejects with what the engine said when either fails. */
export function bootIn(jail: Jail, runtime: RuntimeDir, clock: Clock): Boot {
  return async (id, memory_mb) => {
    const process = await JailedProcess.boot({ jail, runtime, id, memory_mb, clock });
    try {
      const response = await process.client.run(JSON.stringify(PRIMER), AbortSignal.timeout(PRIME_MS_MAX));
      const answer = await readAnswer(response, PRIMER.output_bytes_max);
      if (answer?.outcome !== "value") throw new Error(`the primer ended ${answer?.outcome}: ${answer?.body}`);
      return process;
    } catch (cause) {
      process.kill();
      const { stderr } = await process.dead;
      throw new Error(`${jail.name}: the process loaded no code: ${(cause as Error).message}: ${stderr.trim()}`, {
        cause,
      });
    }
  };
}
