import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { briefLines } from "../brief.ts";
import { bytesText, count } from "../text.ts";
import { AGENT_SCOPES, type Cast, CONTRACT, lookAt, type Opening, ORDERS, perform, REPORT, sayRun } from "./cast.ts";
import { withoutRemarks } from "./proposal.ts";
import { ROOM, type Stage } from "./stage.ts";

const TOKEN_LIFE_MS = 3_600_000;
const RESULT_LINES = 6;
const SEALED_MS = 10_000;

/** Scene 1: a fresh server, an agent with the least that it needs, and a task that needs nothing but computing. */
export async function playTask(stage: Stage, cast: Cast): Promise<Opening> {
  const { house, examples, desk, names } = cast;
  const { items } = await house.owner.actors.list();
  const agent = items.find(({ kind, name }) => kind === "agent" && name === "local");
  const owner = items.find(({ id }) => id === agent?.owner);
  stage.claim(
    "the fresh server has an agent, local, and a human who answers for it",
    agent !== undefined && owner?.kind === "human",
    items.map(({ kind, name }) => `${kind} ${name}`),
    "GET /v1/actors",
  );
  const agent_id = agent?.id ?? "";
  names.set(agent_id, "local");
  names.set(owner?.id ?? "", "owner");
  const minted = await house.owner.tokens.mint({ actor: agent_id, scopes: AGENT_SCOPES, life_ms: TOKEN_LIFE_MS });
  const me = await house.as(minted.secret).session.me();
  stage.claim(
    `the agent's token may ${me.scopes.join(", ")}`,
    [...me.scopes].sort().join() === [...AGENT_SCOPES].sort().join(),
    me.scopes,
    "GET /v1/me with the agent's token",
  );
  const document = await readFile(join(examples, "first-hour/contract.yaml"), "utf8");
  const applied = await house.owner.contracts.apply(CONTRACT, withoutRemarks(document));
  const { contract } = applied;
  stage.claim(
    `${CONTRACT}@${contract.version} holds: ${contract.class}, no network`,
    contract.state === "active" && contract.class === "read-only" && !("approval" in applied),
    `${contract.state}, ${contract.class}`,
    "gantry contracts show first-hour",
  );
  const report = await perform(
    house.as(minted.secret),
    cast,
    { file: REPORT, input: `@${ORDERS}`, contract: CONTRACT },
    stage.signal,
  );
  const { size } = await stat(join(examples, ORDERS));
  stage.say();
  stage.row("program", `examples/${REPORT}`);
  stage.row("input", `examples/${ORDERS}, ${bytesText(size)}`);
  if (report.termination === "completed") stage.block(briefLines(report.result, ROOM, RESULT_LINES));
  sayRun(stage, report);
  const { rows, orders, total_cents, rejected = [] } = resultOf(report.result);
  stage.claim(
    `${count(rows ?? 0, "row")}: ${count(orders ?? 0, "order")} counted, ${rejected.length} put aside`,
    report.termination === "completed" && (orders ?? 0) > 0 && rejected.length > 0,
    report.error?.detail ?? report.termination,
    lookAt(report),
  );
  const { key_file, checkpoint_file } = await saveLog(stage, { house, desk });
  stage.fact("contract", `${CONTRACT}@${contract.version}`);
  stage.fact("run", report.id);
  stage.fact("termination", report.termination);
  stage.fact("rows", rows);
  stage.fact("orders", orders);
  stage.fact("total_cents", total_cents);
  stage.fact("usage", report.usage);
  stage.fact("entries", report.evidence.entries);
  return {
    agent: { id: agent_id, token: minted.secret },
    report,
    rejected,
    key_file,
    checkpoint_file,
  };
}

/** What an auditor takes away on the first day, so that nothing of it can be changed afterwards. */
async function saveLog(stage: Stage, { house, desk }: Pick<Cast, "house" | "desk">) {
  const key_file = join(desk, "log.pub");
  const checkpoint_file = join(desk, "saved.checkpoint");
  const keys = await house.owner.proofs.keys();
  let note = "";
  const saved = await stage.until(async () => {
    note = await house.owner.proofs.checkpoint().catch(() => "");
    return sizeOf(note) > 0;
  }, SEALED_MS);
  stage.claim(
    `an auditor saves the log's public key, and a checkpoint of its ${count(sizeOf(note), "entry", "entries")}`,
    saved && keys.length > 0,
    "the server gave no signed checkpoint",
    "GET /log/checkpoint",
  );
  await writeFile(key_file, `${keys.join("\n")}\n`);
  await writeFile(checkpoint_file, note);
  stage.fact("saved_size", sizeOf(note));
  return { key_file, checkpoint_file };
}

/** Of a checkpoint: its second line. 0: it is none. */
export function sizeOf(note: string): number {
  const size = Number(note.split("\n")[1]);
  return Number.isSafeInteger(size) ? size : 0;
}

interface Report {
  rows?: number;
  orders?: number;
  total_cents?: number;
  rejected?: Opening["rejected"];
}

function resultOf(result: unknown): Report {
  return typeof result === "object" && result !== null ? (result as Report) : {};
}
