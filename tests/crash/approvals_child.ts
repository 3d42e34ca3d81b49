/**
 * The process that `approvals.test.ts` kills. It asks, decides, starts and acts for ever, and prints a line for what it
 * knows, at once and synchronously. It may kill itself at a named point, which is a place in the store that the room is
 * given, or between two of its calls, and nothing in the product.
 * Arguments: data directory, kill point (`never`), how often the point is passed before.
 */
import { appendFileSync } from "node:fs";
import type { ActionFacts, ApprovalView } from "../../server/src/gates/contract.ts";
import { canonicalJson } from "../../server/src/kernel/canonical.ts";
import { sha256Hex } from "../../server/src/kernel/hash.ts";
import type { ActorId, RunId } from "../../server/src/kernel/ids.ts";
import type { ApprovalRef } from "../../server/src/policy/contract.ts";
import type { Storage } from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type GatesGround, openGates, type Person } from "../fixtures/gates_ground.ts";
import { say } from "./say.ts";

/** The arrows, by the entry that each is recorded with. */
const ARROWS = [
  "approval.requested",
  "approval.voted",
  "approval.approved",
  "approval.declined",
  "approval.expired",
  "approval.superseded",
  "approval.executed",
  "glass.broken",
  "debt.closed",
] as const;
/** Where the child may kill itself. */
export const POINTS = [
  ...ARROWS.flatMap((kind) => [`${kind} is with the writer`, `${kind} is committed`]),
  "the effect is allowed",
  "the effect has happened",
];
/** Beside the database: what left, one line for each effect, by the id of the work. */
export const EFFECTS_FILE = "effects.log";
export const NAMES = ["alice", "bob", "carol"] as const;
const SOON_MS = 20;

/** Ends the process when it has come to its point often enough. */
function reaper(wanted: string, passes: number): (point: string) => void {
  let left = passes;
  return (point) => {
    if (point !== wanted || left-- > 0) return;
    process.kill(process.pid, "SIGKILL");
  };
}

/** Sees which entries a unit writes; the unit itself is the real one. */
function watched(storage: Storage, reach: (point: string) => void): Storage {
  const write: Storage["write"] = async (unit, o) => {
    const kinds = new Set<unknown>();
    const result = await storage.write((tx) => {
      const run = tx.run.bind(tx);
      tx.run = (sql, params, expect) => {
        run(sql, params, expect);
        if (!sql.startsWith("INSERT INTO evidence_entries")) return;
        kinds.add(params[2]);
        // The unit's end comes with the next turns; how far the writer is before the signal is chance.
        setImmediate(() => reach(`${String(params[2])} is with the writer`));
      };
      return unit(tx);
    }, o);
    for (const kind of kinds) reach(`${String(kind)} is committed`);
    return result;
  };
  return new Proxy(storage, {
    get: (target, name) => {
      if (name === "write") return write;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The facts of what was asked for, as they still are. */
export function factsOf({ statement }: ApprovalView): ActionFacts {
  const { action, code, snapshot, contract, target, blast_radius, preview_hash, chain } = statement;
  const chain_hash = sha256Hex(canonicalJson(chain));
  return { action, code, snapshot, contract, target, blast_radius, preview_hash, chain_hash };
}

class Life {
  readonly #house: GatesGround;
  readonly #people: Person[];
  readonly #reach: (point: string) => void;

  constructor(house: GatesGround, people: Person[], reach: (point: string) => void) {
    this.#house = house;
    this.#people = people;
    this.#reach = reach;
  }

  /** What an earlier life has left is decided and started, once. */
  async takeUp(): Promise<void> {
    const { gates, owner } = this.#house;
    for (const debt of await gates.debts(owner)) await this.#review(debt.id, debt.actor);
    for (const status of ["pending", "approved", "broken_glass"] as const) {
      for (const view of (await gates.list(owner, { status, limit: 200 })).items) {
        if (view.executed_at !== null) continue;
        if (status === "pending") await this.#voteAll(view).catch(expected);
        await this.#start(view);
      }
    }
  }

  async tell(story: number): Promise<void> {
    const { gates } = this.#house;
    const draft = this.#house.draft({ privileged: false });
    const soon = story % 6;
    draft.gate = { ...draft.gate, quorum: 2 };
    if (soon === 3) draft.gate.not_after_ms = SOON_MS;
    if (soon === 5) draft.gate.execute_before_ms = SOON_MS;
    const ref = await this.#house.ask(draft);
    say({ acknowledged: ref.id, status: "pending" });
    const view = await gates.get(this.#house.owner, ref.id);
    switch (soon) {
      case 0:
        await this.#voteAll(view);
        await this.#start(view);
        break;
      case 1:
        await this.#vote(this.#people[0]!, ref, "approve");
        await this.#vote(this.#people[1]!, ref, "decline");
        say({ acknowledged: ref.id, status: "declined" });
        break;
      case 2:
        await this.#house.ask({ ...draft, subject_id: this.#house.ids("run") });
        say({ acknowledged: ref.id, status: "superseded" });
        break;
      case 4: {
        const { id, statement_hash } = ref;
        const reason = "the site is down for everybody";
        const broken = await gates.breakGlass(this.#people[2]!.who, id, { reason, minutes: 5, statement_hash });
        say({ acknowledged: id, status: "broken_glass" });
        await this.#start(view);
        await this.#review(broken.break_glass!.id, broken.break_glass!.actor);
        break;
      }
      default:
        if (soon === 5) await this.#voteAll(view);
        await eventually(async () => (await this.#house.view(ref.id)).status === "expired", "a clock to end it");
        say({ acknowledged: ref.id, status: "expired" });
    }
  }

  async #vote({ who }: Person, { id, statement_hash }: ApprovalRef, vote: "approve" | "decline"): Promise<void> {
    await this.#house.gates.vote(who, id, { vote, statement_hash });
  }

  /** By two of three humans; who has voted in an earlier life does not vote again. */
  async #voteAll(view: ApprovalView): Promise<void> {
    const ref = { id: view.id, statement_hash: view.statement_hash, not_after_at: 0 };
    const voted = new Set(view.votes.map(({ actor }) => actor));
    const others = this.#people.filter(({ who }) => !voted.has(who.actor));
    for (const person of others.slice(0, 2 - voted.size)) await this.#vote(person, ref, "approve");
    say({ acknowledged: view.id, status: "approved" });
  }

  async #start(view: ApprovalView): Promise<void> {
    const { id, statement, run } = view;
    const draft = { ...this.#house.draft(), subject_id: view.subject_id };
    const code = await this.#house.start(id, draft, factsOf(view));
    if (code !== undefined) return say({ refused: id, code });
    say({ started: id });
    const effect = {
      tenant: statement.tenant,
      approval: id,
      run: run as RunId,
      host: "api.example.com",
      method: "GET",
    };
    const checked = await this.#house.storage.write((tx) => this.#house.gates.check(tx, effect));
    if (!checked.ok) throw checked.error;
    this.#reach("the effect is allowed");
    appendFileSync(`${this.#house.directory}/${EFFECTS_FILE}`, `${id}\n`);
    this.#reach("the effect has happened");
  }

  async #review(glass: string, by: ActorId): Promise<void> {
    const other = this.#people.find(({ who }) => who.actor !== by);
    await this.#house.gates.closeDebt(other!.who, glass, "it was needed");
    say({ reviewed: glass });
  }
}

/** A clock may have ended it meanwhile; anything else is a fault. */
function expected(error: unknown): void {
  const { code } = error as { code?: string };
  if (code !== "APPROVAL_EXPIRED") throw error;
}

async function main(directory: string, point: string, passes: number): Promise<void> {
  const reach = reaper(point, passes);
  const house = await openGates({ directory, wrap: (storage) => watched(storage, reach) });
  const people: Person[] = [];
  for (const name of NAMES) {
    const row = await house.storage.get("SELECT id FROM actors WHERE name = ? AND kind = 'human'", [name]);
    people.push(row === undefined ? await house.human(name) : await house.login(row["id"] as ActorId));
  }
  house.storage.timers.start(() => {});
  say({ open: true });
  setInterval(() => {}, 60_000); // as a listener does, it keeps the process
  const life = new Life(house, people, reach);
  await life.takeUp();
  say({ taken_up: true });
  if (point === "take up") return process.exit(0);
  for (let story = passes; ; story++) await life.tell(story);
}

const [, script, directory, point = "never", passes = "0"] = process.argv;
if (script === import.meta.filename && directory !== undefined) await main(directory, point, Number(passes));
