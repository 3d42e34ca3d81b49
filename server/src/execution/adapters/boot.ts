import type { Readable } from "node:stream";
import type { RunCall } from "../../../../isolate/src/protocol.ts";
import { type Clock, within } from "../../kernel/clock.ts";
import type { RunnerId } from "../../kernel/ids.ts";
import type { HostAnswer } from "../result.ts";
import { JailedProcess, type JailHost } from "./jailed_process.ts";
import type { Jail } from "./jails.ts";

/**
 * What the pool asks of this folder: a process that is ready for a guest.
 * @param urgent  somebody waits for it; otherwise it gives way to what runs.
 */
export type Boot = (id: RunnerId, memory_mb: number, urgent: boolean) => Promise<JailedProcess>;

const PRIME_MS_MAX = 30_000;

/** A throw-away program, loaded once in every new process: the first guest must not pay for what the engine sets up lazily. */
const PRIMER: RunCall = {
  run: "",
  deadline: 0,
  entry: "primer.js",
  modules: { "primer.js": { js: 'export default () => { console.log("primed"); return 1; };' } },
  node_compat: false,
  vars: {},
  input: "null",
  output_bytes_max: 16,
  log_nonce: "primer",
};

/** Boots and primes runners in one jail. Rejects with what the engine said when either fails. */
export function bootIn(jail: Jail, host: JailHost): Boot {
  return async (id, memory_mb, urgent) => {
    const process = await JailedProcess.boot(host, { jail, id, memory_mb, urgent });
    try {
      const said = Promise.race([primerSaid(process.stdout), process.dead]);
      const answer = await prime(process, host.clock);
      await said;
      if (answer?.outcome !== "value") throw new Error(`the primer ended ${answer?.outcome}: ${answer?.body}`);
      // Whoever claims it waits for it: what can be done before is done now.
      process.raise();
      process.use();
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

function prime({ client }: JailedProcess, clock: Clock): Promise<HostAnswer | undefined> {
  const answer = client.run(JSON.stringify(PRIMER), PRIMER.log_nonce, PRIMER.output_bytes_max);
  return within(clock, PRIME_MS_MAX, answer, () => {
    throw new Error(`it took longer than ${PRIME_MS_MAX} ms`);
  });
}

/** Reads the primer's lines to their end, so that none of them is left over for the first guest's log. */
function primerSaid(stdout: Readable): Promise<void> {
  return new Promise((resolve) => {
    let text = "";
    stdout.on("data", function read(chunk: Buffer) {
      text += chunk.toString("latin1");
      if (!text.includes('{"event":"ended"}\n')) return;
      stdout.off("data", read);
      stdout.pause();
      resolve();
    });
  });
}
