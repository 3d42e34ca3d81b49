import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ApprovalHistory, readEntries } from "../../../tests/fixtures/approval_history.ts";
import { type GatesGround, openGates, type Person } from "../../../tests/fixtures/gates_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import type { ApprovalDraft, ApprovalRef } from "../policy/contract.ts";

const HUMANS = ["alice", "bob", "carol"] as const;
const RUNS = 15;
const COMMANDS_MAX = 60;

interface Asked {
  draft: ApprovalDraft;
  ref: ApprovalRef;
}

/** The world that commands act on: a real store, real people, and everything that was ever asked for. */
class World {
  readonly clock = new VirtualClock();
  readonly asked: Asked[] = [];
  readonly people: Person[] = [];
  /** How often each thing came to something, or was refused with which code. */
  readonly seen: Map<string, number>;
  house: GatesGround | undefined;

  constructor(seen: Map<string, number>) {
    this.seen = seen;
  }

  async open(): Promise<void> {
    const directory = this.house?.directory;
    this.house = await openGates({ clock: this.clock, ...(directory === undefined ? {} : { directory }) });
    this.house.storage.timers.start(() => {});
  }

  get here(): GatesGround {
    return this.house!;
  }

  pick<T>(list: readonly T[], n: number): T | undefined {
    return list[n % Math.max(list.length, 1)];
  }

  /** What the command came to. Only refusals may come of it, never a fault of ours. */
  async note(what: string, work: () => Promise<unknown>): Promise<void> {
    let became = "done";
    try {
      const result = await work();
      if (typeof result === "string") became = result;
    } catch (error) {
      if (!isGantryError(error) || error.kind.whose === "gantry") throw error;
      became = error.kind.code;
    }
    const key = `${what}: ${became}`;
    this.seen.set(key, (this.seen.get(key) ?? 0) + 1);
  }
}

type Command = fc.AsyncCommand<object, World>;
function command(name: string, run: (world: World) => Promise<unknown>): Command {
  return {
    check: () => true,
    run: (_model, world) => world.note(name.split(" ")[0]!, () => run(world)),
    toString: () => name,
  };
}

/** Newer ones are decided about more often than old ones. */
const latest = (world: World, back: number) => world.asked.at(-1 - (back % Math.max(world.asked.length, 1)));

const submit = (o: { quorum: number; again: boolean; by: number; author: number }) =>
  command(`submit ${JSON.stringify(o)}`, async (world) => {
    const { here } = world;
    const human = world.people[o.by];
    const by = human === undefined ? here.agent : human;
    const requester = { actor: by.who.actor, chain: by.who.chain, chain_hash: by.who.chain_hash };
    const author = o.author === 0 ? [world.people[1]!.who.actor] : [];
    const before = o.again ? latest(world, 0)?.draft : undefined;
    const fresh = here.draft({ requester, authors: author });
    const draft = before === undefined ? fresh : { ...before, subject_id: fresh.subject_id, requester };
    draft.gate = { ...draft.gate, quorum: o.quorum };
    world.asked.push({ draft, ref: await here.ask(draft) });
  });
/** @param by  4: the agent, with scopes that it could never have. */
const vote = (what: "approve" | "decline", of: number, by: number) =>
  command(`${what} ${of} ${by}`, async (world) => {
    const asked = latest(world, of);
    if (asked === undefined) return "nothing";
    const forged = { ...world.here.agent.who, scopes: world.people[0]!.who.scopes };
    const who = by === 4 ? forged : world.people[by]!.who;
    const { id, statement_hash } = asked.ref;
    await world.here.gates.vote(who, id, { vote: what, statement_hash });
    return "voted";
  });
const execute = (of: number) =>
  command(`execute ${of}`, async (world) => {
    const asked = latest(world, of);
    return asked === undefined ? "nothing" : ((await world.here.start(asked.ref.id, asked.draft)) ?? "started");
  });
const edit = (of: number) =>
  command(`edit ${of}`, async (world) => {
    const asked = latest(world, of);
    if (asked === undefined) return "nothing";
    const facts = { ...world.here.facts(asked.draft), code: { code_hash: "0".repeat(64) } };
    return (await world.here.start(asked.ref.id, asked.draft, facts)) ?? "started";
  });
const glass = (of: number, by: number) =>
  command(`glass ${of} ${by}`, async (world) => {
    const asked = latest(world, of);
    if (asked === undefined) return "nothing";
    const { id, statement_hash } = asked.ref;
    const reason = "the site is down for everybody";
    await world.here.gates.breakGlass(world.people[by]!.who, id, { reason, minutes: 10, statement_hash });
    return "broken";
  });
const close = (by: number) =>
  command(`close ${by}`, async (world) => {
    const [debt] = await world.here.gates.debts(world.here.owner);
    if (debt === undefined) return "nothing";
    await world.here.gates.closeDebt(world.people[by]!.who, debt.id, "it was needed");
    return "closed";
  });
const wait = (ms: number) => command(`wait ${ms}`, async (world) => world.clock.advance(ms));
const setState = (of: number, state: "suspended" | "active") =>
  command(`${state} ${of}`, (world) => {
    return world.here.identity.setActorState(world.here.owner, world.people[of]!.who.actor, state);
  });
const revoke = (of: number) =>
  command(`revoke ${of}`, async (world) => {
    await world.here.identity.revokeToken(world.here.owner, world.people[of]!.who.token!);
  });
const login = (of: number) =>
  command(`login ${of}`, async (world) => {
    world.people[of] = await world.here.login(world.people[of]!.who.actor);
  });
const crash = () =>
  command("crash", async (world) => {
    await world.here.stop();
    await world.open();
  });

const of = fc.nat({ max: 5 });
const person = fc.nat({ max: 3 });
const asker = fc.record({
  quorum: fc.integer({ min: 1, max: 2 }),
  again: fc.boolean(),
  by: fc.nat({ max: 9 }),
  author: of,
});
const anybody = fc.tuple(of, fc.nat({ max: 4 }));
const votes = (what: "approve" | "decline") => anybody.map(([at, by]) => vote(what, at, by));
const commands = [
  ...[asker.map(submit), asker.map(submit), asker.map(submit)],
  ...[votes("approve"), votes("approve"), votes("approve"), votes("decline")],
  ...[of.map(execute), of.map(execute), of.map(execute), of.map(edit)],
  ...[fc.tuple(of, person).map(([at, by]) => glass(at, by)), person.map(close)],
  fc.constantFrom(1_000, 599_000, 600_000, 3_600_000).map(wait),
  fc.tuple(fc.nat({ max: 2 }), fc.constantFrom("suspended" as const, "active" as const)).map((o) => setState(...o)),
  ...[person.map(revoke), person.map(login), person.map(login), fc.constant(crash())],
];

/** By an agent, so that all four humans may decide. */
const plain = { quorum: 2, again: false, by: 9, author: 1 };
/** A walk past every outcome, since chance alone may miss one. */
const walk = [
  ...[submit(plain), vote("approve", 0, 4), vote("approve", 0, 0), vote("approve", 0, 0), execute(0), crash()],
  ...[vote("approve", 0, 1), crash(), execute(0), execute(0)],
  ...[submit(plain), vote("approve", 0, 0), vote("approve", 0, 1), edit(0), execute(0)],
  ...[submit(plain), revoke(0), vote("approve", 0, 0), login(0), vote("approve", 0, 0), setState(0, "suspended")],
  ...[vote("approve", 0, 1), execute(0), vote("approve", 0, 2), setState(0, "active"), login(0)],
  ...[setState(1, "suspended"), setState(2, "suspended"), execute(0), setState(1, "active"), setState(2, "active")],
  ...[login(1), login(2), submit(plain), vote("decline", 0, 2), execute(0), submit({ ...plain, again: true })],
  ...[submit({ ...plain, again: true }), vote("approve", 1, 0), submit({ ...plain, author: 0 }), vote("approve", 0, 1)],
  ...[submit({ ...plain, by: 0 }), vote("approve", 0, 0), glass(0, 0), submit(plain), crash(), execute(0), close(0)],
  ...[close(1), submit(plain), wait(3_600_000), vote("approve", 0, 0), submit({ ...plain, quorum: 1 })],
  ...[vote("approve", 0, 0), wait(600_000), execute(0), submit(plain), glass(0, 3), wait(600_000), execute(0)],
];
const OUTCOMES = [
  ...["approve: voted", "approve: APPROVAL_NOT_HUMAN", "approve: APPROVAL_DUPLICATE", "approve: TOKEN_REVOKED"],
  ...["approve: APPROVAL_SUPERSEDED", "approve: APPROVAL_EXCLUDED", "approve: APPROVAL_EXPIRED", "decline: voted"],
  ...["execute: started", "execute: APPROVAL_PENDING", "execute: APPROVAL_USED", "execute: GATE_REQUIRED"],
  ...["execute: APPROVAL_DECLINED", "execute: APPROVAL_EXECUTE_EXPIRED", "execute: BREAK_GLASS_ENDED"],
  ...["edit: APPROVAL_STALE_CODE", "glass: broken", "close: REVIEW_DEBT_SELF", "close: closed"],
  ...["submit: REVIEW_DEBT_OPEN", "crash: done"],
];

/** Lets the commands happen to a world of their own, and asks the ledger what happened. */
async function judge(cmds: Iterable<Command>, seen: Map<string, number>): Promise<void> {
  const world = new World(seen);
  await world.open();
  try {
    for (const name of HUMANS) world.people.push(await world.here.human(name));
    world.people.push(await world.here.login(world.here.owned.owner));
    await fc.asyncModelRun(() => ({ model: {}, real: world }), cmds);
    const authors = (id: string) => world.asked.find(({ ref }) => ref.id === id)?.draft.authors ?? [];
    const { storage } = world.here;
    await storage.timers.stop();
    const history = new ApprovalHistory(await readEntries(storage), authors);
    expect(history.faults).toEqual([]);
    expect(await history.compare(storage)).toEqual([]);
    expect(await history.compareWorks(storage)).toEqual([]);
  } finally {
    await world.here.remove();
  }
}

describe("approvals, whatever agents, humans, clocks and crashes do", () => {
  it("start nothing without the humans that it needs, and nothing twice; the ledger says all of it", async () => {
    const cmds = fc.commands(commands, { maxCommands: COMMANDS_MAX, size: "max" });
    await fc.assert(
      fc.asyncProperty(cmds, (some) => judge(some, new Map())),
      // Shrinking would make worlds by the hundred: the seed and the path of the failure name it.
      { numRuns: RUNS, endOnFailure: true },
    );
  }, 180_000);

  it("come to every outcome that there is", async () => {
    const seen = new Map<string, number>();
    await judge(walk, seen);
    expect(
      OUTCOMES.filter((key) => !seen.has(key)),
      JSON.stringify([...seen].sort()),
    ).toEqual([]);
  });

  it("are judged by a history that finds what it looks for", async () => {
    const house = await openGates();
    const draft = house.draft();
    const alice = await house.human("alice");
    const ref = await house.ask(draft);
    await house.gates.vote(alice.who, ref.id, { vote: "approve", statement_hash: ref.statement_hash });
    await house.start(ref.id, draft);
    const entries = await readEntries(house.storage);
    const without = (kind: string) => new ApprovalHistory(entries.filter((entry) => entry.kind !== kind));
    expect(new ApprovalHistory(entries).faults).toEqual([]);
    expect(without("approval.voted").faults).toEqual([
      expect.stringContaining("without its quorum"),
      expect.anything(),
    ]);
    expect(without("approval.executed").faults).toEqual([expect.stringContaining("started 1 times")]);
    expect(new ApprovalHistory([...entries, ...entries.slice(-1)]).faults).toHaveLength(1);
    expect(new ApprovalHistory(entries, () => [alice.who.actor]).faults[0]).toContain("excluded");
    expect(await without("approval.executed").compare(house.storage)).toHaveLength(1);
    await house.remove();
  });
});
