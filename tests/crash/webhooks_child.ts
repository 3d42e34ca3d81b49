/**
 * The process that `webhooks.test.ts` kills: it commits one notice after another and says so, with or without sending them.
 * Arguments: data directory, `send` or `hold`, how many; for PostgreSQL the directory knows the database.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { engine, URL_FILE } from "../fixtures/engine.ts";
import type { PostgresServer } from "../fixtures/postgres.ts";
import { openWebhooks } from "../fixtures/webhooks_ground.ts";
import { say } from "./say.ts";

const [, , directory = "", what = "", count = "0"] = process.argv;
// The test made the schema; what names it is all that is needed.
if (existsSync(join(directory, URL_FILE))) engine.server = {} as PostgresServer;
const ground = await openWebhooks({ directory });
if (what === "send") ground.storage.timers.start(() => {});
for (let n = 0; n < Number(count); n++) {
  await ground.tell("approval.requested", { n });
  say({ acknowledged: String(n) });
}
// It lives until it is killed.
setInterval(() => {}, 1_000);
