/**
 * Boots runners without pause, to be killed while it does. Arguments: the jail's name, a data directory.
 * Prints a line for each boot.
 */
import { bootIn } from "../../server/src/execution/adapters/boot.ts";
import { bwrapJail, noJail, unshareJail } from "../../server/src/execution/adapters/jails.ts";
import { Nursery } from "../../server/src/execution/adapters/nursery.ts";
import { prepareRuntimeDir } from "../../server/src/execution/adapters/runtime_dir.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { createIds } from "../../server/src/kernel/ids.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";

/** Boots at the same time: each kill catches as many. */
const BOOTS = 4;

const [name = "", data_dir = ""] = process.argv.slice(2);
const jail = [bwrapJail, unshareJail, noJail].find((each) => each.name === name);
if (jail === undefined) throw new Error(`${name} is no jail`);
const clock = systemClock();
const ids = createIds(clock, systemRandom());
const runtime = prepareRuntimeDir({ data_dir, runner_uid: 65_534 });
const nursery = await Nursery.open(runtime, () => process.exit(1));
const boot = bootIn(jail, { runtime, nursery, clock });

async function bootForEver(): Promise<never> {
  for (;;) {
    const runner = await boot(ids("rnr"), 128, true);
    process.stdout.write("booted\n");
    runner.kill();
    await runner.dead;
  }
}
await Promise.all(Array.from({ length: BOOTS }, bootForEver));
