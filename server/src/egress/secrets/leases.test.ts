import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { callerUnder, contractWith } from "../../../../tests/fixtures/egress_calls.ts";
import { engine } from "../../../../tests/fixtures/engine.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { Principal } from "../../identity/contract.ts";
import type { ApprovalId } from "../../kernel/ids.ts";
import type { Contract, EgressRule } from "../../policy/contract.ts";
import { type EgressIdentity, LEASES_LISTED_MAX } from "../contract.ts";
import { kinds } from "../kinds.ts";
import type { Call, HeaderList } from "../parts.ts";
import { secretKeys } from "./key_wrap.ts";
import { makeLease } from "./lease_token.ts";
import { LeaseBook } from "./leases.ts";
import { Secrets } from "./secret_list.ts";
import { migrations } from "./store.ts";

const VALUE = "tok/en+of=the canary";
const RULE: EgressRule = {
  hosts: ["api.example.com"],
  protocol: "https",
  methods: ["GET", "POST"],
  secret: { name: "github-token", slot: "bearer" },
};

let ground: Ground;
let clock: VirtualClock;
let leases: LeaseBook;
let secrets: Secrets;
let owner: Principal;

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock, migrations, kinds });
  const keys = secretKeys(ground.state_key);
  leases = new LeaseBook({ ...ground, keys });
  secrets = new Secrets({ ...ground, keys, leases });
  owner = ground.owner;
});
afterEach(() => ground.remove());

const set = (name: string, value = VALUE) => secrets.set(owner, name, Buffer.from(value));

function caller(
  rules: EgressRule[] = [RULE],
  more: Partial<EgressIdentity> = {},
  contract: Partial<Contract> = {},
): EgressIdentity {
  const { tenant } = owner;
  return callerUnder(contractWith(rules, contract), { tenant, deadline_at: clock.now() + 60_000, ...more });
}

/** Prepares and admits. @returns the environment */
async function issued(who: EgressIdentity): Promise<Record<string, string>> {
  const prepared = await leases.prepare(who);
  await ground.storage.write((tx) => prepared.write(tx));
  return prepared.vars;
}

function call(who: EgressIdentity, more: Partial<Call> & { host?: string } = {}): Call {
  const [rule = RULE] = who.view.contract.egress;
  const target = { protocol: rule.protocol, host: more.host ?? "api.example.com", port: 443, path: "/", query: "" };
  return { who, target, method: "GET", rule, rule_id: rule.id ?? "0", path_class: "*", mutating: false, ...more };
}

const bearer = (token: string | undefined): HeaderList => [
  ["Accept", "*/*"],
  ["Authorization", `Bearer ${token}`],
];

/** Finds and swaps as a door does. */
async function sent(of: Call, headers: HeaderList) {
  const found = await leases.find(of, headers);
  expect(found).toBeDefined();
  return leases.swap(of, found!, headers);
}
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (error: { code: string }) => error.code,
  );
const entries = async (kind: string) => (await ground.ledger.list({ tenant: owner.tenant, kind, limit: 200 })).items;

describe("a lease", () => {
  it("is what the guest is given, by the name of its secret, and is recorded with the run", async () => {
    await set("github-token");
    const who = caller();
    const vars = await issued(who);
    expect(vars).toEqual({ GITHUB_TOKEN: expect.stringMatching(/^gl_[0-9a-hjkmnp-tv-z]{38}$/) });
    const [view] = await leases.list(owner);
    expect(view).toEqual({
      id: expect.stringMatching(/^lse_/),
      subject: who.subject,
      secret: "github-token",
      hosts: ["api.example.com"],
      methods: ["GET", "POST"],
      slot: "bearer",
      not_after_at: who.deadline_at,
      revoked_at: null,
    });
    const { id: lease, revoked_at: _, ...data } = view!;
    expect(await entries("lease.issued")).toMatchObject([
      { data: { lease, version: 1, ...data }, refs: [lease, who.subject] },
    ]);
  });

  it("gives way to the secret in its slot, and asks for an answer that can be searched", async () => {
    await set("github-token");
    const who = caller();
    const { GITHUB_TOKEN } = await issued(who);
    const { headers } = await sent(call(who), [...bearer(GITHUB_TOKEN), ["Accept-Encoding", "br"]]);
    expect(headers).toEqual([
      ["Accept", "*/*"],
      ["Authorization", `Bearer ${VALUE}`],
      ["accept-encoding", "identity"],
    ]);
  });

  it("searches the answer for what was sent", async () => {
    await set("github-token");
    const who = caller();
    const { GITHUB_TOKEN } = await issued(who);
    const { scan } = await sent(call(who), bearer(GITHUB_TOKEN));
    scan.head(200, []);
    expect(await codeOf(scan.push(Buffer.from(`you sent ${VALUE}`)))).toBe("EGRESS_SECRET_ECHO");
  });

  it.each([
    [
      "basic-password",
      (token: string) => ["Authorization", `Basic ${btoa(`me:${token}`)}`],
      ["Authorization", `Basic ${btoa(`me:${VALUE}`)}`],
    ],
    ["header:x-api-key", (token: string) => ["X-Api-Key", token], ["X-Api-Key", VALUE]],
    ["header:cookie", (token: string) => ["cookie", `a=b; s=${token}`], ["cookie", `a=b; s=${VALUE}`]],
    [
      "header:authorization",
      (token: string) => ["authorization", `token ${token}`],
      ["authorization", `token ${VALUE}`],
    ],
  ] as [string, (token: string) => [string, string], [string, string]][])(
    "is swapped in %s",
    async (slot, of, becomes) => {
      await set("key");
      const who = caller([{ ...RULE, secret: { name: "key", slot } }]);
      const { KEY = "" } = await issued(who);
      expect((await sent(call(who), [of(KEY)])).headers[0]).toEqual(becomes);
      for (const wrong of [
        ["x-other", KEY],
        ["Authorization", `Basic ${btoa(`${KEY}:x`)}`],
      ] as HeaderList) {
        expect(await codeOf(leases.find(call(who), [wrong]))).toBe("LEASE_SCOPE");
      }
      expect(await codeOf(leases.find(call(who), [of(KEY), of(KEY)]))).toBe("LEASE_SCOPE");
    },
  );

  it("keeps every byte of a secret that is no text", async () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x80, 0x24, 0x26, 0xc3, 0xa9]);
    await secrets.set(owner, "github-token", Buffer.from(bytes));
    const who = caller();
    const { GITHUB_TOKEN } = await issued(who);
    const { headers } = await sent(call(who), bearer(GITHUB_TOKEN));
    expect(Buffer.from(headers[1]![1], "latin1")).toEqual(Buffer.concat([Buffer.from("Bearer "), bytes]));
  });

  it("is not needed by a call without one", async () => {
    await set("github-token");
    const who = caller();
    expect(
      await leases.find(call(who), [
        ["authorization", "Bearer mine"],
        ["x", "gl_short"],
      ]),
    ).toBeUndefined();
    expect(await leases.prepare(caller([{ hosts: ["a.example"], protocol: "https" }]))).toMatchObject({ vars: {} });
  });

  it("is one for each secret, for all the rules that name it", async () => {
    await set("a-key");
    await set("b-key");
    const rules: EgressRule[] = [
      { hosts: ["b.example", "*.b.example"], protocol: "https", secret: { name: "b-key", slot: "bearer" } },
      { hosts: ["a.example"], protocol: "https", methods: ["PUT"], secret: { name: "a-key", slot: "bearer" } },
      { hosts: ["c.example"], protocol: "wss", secret: { name: "a-key", slot: "bearer" } },
    ];
    const who = caller(rules);
    expect(Object.keys(await issued(who))).toEqual(["B_KEY", "A_KEY"]);
    const views = await leases.list(owner);
    expect(views.map(({ hosts, methods }) => [hosts, methods])).toEqual([
      [
        ["a.example", "c.example"],
        ["GET", "PUT"],
      ],
      [
        ["*.b.example", "b.example"],
        ["GET", "HEAD"],
      ],
    ]);
  });

  it("is refused to a run whose secrets are not all there, which is told how to set them", async () => {
    const error = await leases.prepare(caller()).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "SECRETS_UNKNOWN",
      parts: { next_steps: [{ kind: "command", command: "gantry secrets set github-token" }] },
    });
  });

  it("of a privileged contract needs what people approved, and each call with it is checked", async () => {
    await set("github-token");
    const privileged = { class: "privileged" } as const;
    expect(await codeOf(leases.prepare(caller([RULE], {}, privileged)))).toBe("LEASE_APPROVAL");
    const approval = { id: "apr_1" as ApprovalId, gates: [] };
    const who = caller([RULE], { approval }, privileged);
    const { GITHUB_TOKEN } = await issued(who);
    expect(await leases.find(call(who), bearer(GITHUB_TOKEN))).toMatchObject({ needs_approval: true });
    expect(await entries("lease.issued")).toMatchObject([{ data: { approval: "apr_1" } }]);
  });
});

it("a gate on the use of secrets holds a lease as long as no approval holds it open", async () => {
  await set("github-token");
  const gate = { on: "lease.use", name: "secrets", quorum: 1, not_after_ms: 1_000, execute_before_ms: 1_000 } as const;
  const gated = { gates: [gate] };
  expect(await codeOf(leases.prepare(caller([RULE], {}, gated)))).toBe("LEASE_APPROVAL");
  const foreign = caller([RULE], { approval: { id: "apr_1" as ApprovalId, gates: ["other"] } }, gated);
  const { GITHUB_TOKEN } = await issued(foreign);
  expect(await codeOf(leases.find(call(foreign), bearer(GITHUB_TOKEN)))).toBe("LEASE_APPROVAL");
  const approved = { ...foreign, approval: { id: "apr_1" as ApprovalId, gates: ["secrets"] } };
  expect(await leases.find(call(approved), bearer(GITHUB_TOKEN))).toMatchObject({ needs_approval: true });
});

describe("a lease is not for", () => {
  let who: EgressIdentity;
  let token: string;
  beforeEach(async () => {
    await set("github-token");
    who = caller();
    token = (await issued(who))["GITHUB_TOKEN"] ?? "";
  });

  const refused: [string, (of: EgressIdentity) => Call][] = [
    ["another subject", (of) => call({ ...of, subject: "run_other" })],
    ["another tenant", (of) => call({ ...of, tenant: ground.ids("ten") })],
    ["another host", (of) => call(of, { host: "evil.example.com" })],
    ["a method that was not issued", (of) => call(of, { method: "DELETE" })],
    ["a rule that names no secret", (of) => call(of, { rule: { hosts: ["api.example.com"], protocol: "https" } })],
    ["a rule that names another", (of) => call(of, { rule: { ...RULE, secret: { name: "other", slot: "bearer" } } })],
    [
      "a rule with another slot",
      (of) => call(of, { rule: { ...RULE, secret: { name: "github-token", slot: "header:authorization" } } }),
    ],
  ];
  it.each(refused)("%s", async (_, of) => {
    expect(await leases.find(call(who), bearer(token))).toBeDefined();
    expect(await codeOf(leases.find(of(who), bearer(token)))).toBe("LEASE_SCOPE");
  });

  it("anybody when it is cut, mistyped or made up", async () => {
    const turned = token.slice(0, -1) + (token.endsWith("0") ? "1" : "0");
    for (const wrong of [turned, makeLease(ground.random), `${token}0`]) {
      const error = await leases.find(call(who), bearer(wrong)).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "LEASE_SCOPE" });
      expect(String(error)).not.toContain(wrong);
    }
  });

  it("a later time than the run's deadline", async () => {
    clock.advance(59_999);
    const found = await leases.find(call(who), bearer(token));
    clock.advance(1);
    expect(await codeOf(leases.find(call(who), bearer(token)))).toBe("LEASE_EXPIRED");
    expect(await codeOf(leases.swap(call(who), found!, bearer(token)))).toBe("LEASE_EXPIRED");
  });

  it("what comes after its end: the subject's, its own, or its secret's", async () => {
    const found = await leases.find(call(who), bearer(token));
    const told: string[] = [];
    const stop = leases.onRevoked(({ id, subject }) => told.push(`${id} ${subject}`));
    await leases.revoke(owner, found!.id);
    await leases.revoke(owner, found!.id);
    expect(told).toEqual([`${found!.id} ${who.subject}`]);
    expect(await codeOf(leases.find(call(who), bearer(token)))).toBe("LEASE_REVOKED");
    // It was good when it was found, and is looked at again.
    expect(await codeOf(leases.swap(call(who), found!, bearer(token)))).toBe("LEASE_REVOKED");
    expect(await entries("lease.revoked")).toMatchObject([{ data: { lease: found!.id, subject: who.subject } }]);
    expect((await leases.list(owner))[0]?.revoked_at).toBe(clock.now());

    const second = caller([RULE], { subject: "run_2" });
    const third = caller([RULE], { subject: "run_3" });
    const [two, three] = [await issued(second), await issued(third)];
    await ground.storage.write((tx) => leases.end(tx, { tenant: owner.tenant, subject: "run_2" }));
    expect(await codeOf(leases.find(call(second), bearer(two["GITHUB_TOKEN"])))).toBe("LEASE_REVOKED");
    expect(await leases.find(call(third), bearer(three["GITHUB_TOKEN"]))).toBeDefined();
    await secrets.remove(owner, "github-token");
    expect(await codeOf(leases.find(call(third), bearer(three["GITHUB_TOKEN"])))).toBe("LEASE_REVOKED");
    expect(told.at(-1)).toMatch(/ run_3$/);
    expect(told).toHaveLength(2);
    stop();
    expect(await codeOf(leases.revoke(owner, "lse_none"))).toBe("LEASE_UNKNOWN");
    expect(await codeOf(leases.revoke({ ...owner, tenant: ground.ids("ten") }, found!.id))).toBe("LEASE_UNKNOWN");
  });

  it("a secret that was removed between its making and the admission", async () => {
    const late = caller([RULE], { subject: "run_late" });
    const prepared = await leases.prepare(late);
    await secrets.remove(owner, "github-token");
    await ground.storage.write((tx) => prepared.write(tx));
    const headers = bearer(prepared.vars["GITHUB_TOKEN"]);
    const found = await leases.find(call(late), headers);
    expect(await codeOf(leases.swap(call(late), found!, headers))).toBe("LEASE_REVOKED");
  });

  it("an old value: a new version is what it gives from then on", async () => {
    await set("github-token", "the second value");
    expect((await sent(call(who), bearer(token))).headers[1]).toEqual(["Authorization", "Bearer the second value"]);
  });
});

it(`leases are listed newest first, at most ${LEASES_LISTED_MAX}, and are gone a day after they expired`, async () => {
  await set("github-token");
  const prepare = (n: number) => leases.prepare(caller([RULE], { subject: `run_${n}` }));
  const prepared = await Promise.all(Array.from({ length: LEASES_LISTED_MAX }, (_, n) => prepare(n)));
  prepared.push(await prepare(LEASES_LISTED_MAX));
  const write = async (from: number, to: number) => {
    for (let n = from; n < to; n += 50) {
      await ground.storage.write((tx) => {
        for (const each of prepared.slice(n, Math.min(n + 50, to))) each.write(tx);
      });
    }
  };
  await write(0, LEASES_LISTED_MAX);
  expect(await leases.list(owner)).toHaveLength(LEASES_LISTED_MAX);
  await write(LEASES_LISTED_MAX, LEASES_LISTED_MAX + 1);
  const listed = await leases.list(owner);
  expect(listed).toHaveLength(LEASES_LISTED_MAX);
  expect(listed[0]?.subject).toBe(`run_${LEASES_LISTED_MAX}`);
  expect(listed.map(({ id }) => id)).toEqual(
    listed
      .map(({ id }) => id)
      .sort()
      .reverse(),
  );
  clock.advance(60_000);
  expect(await leases.list(owner)).toEqual([]);
  const count = async () => (await ground.storage.get("SELECT count(*) AS n FROM egress_leases", []))?.["n"];
  expect(await count()).toBe(LEASES_LISTED_MAX + 1);
  clock.advance(86_400_001);
  await issued(caller([RULE], { subject: "run_next" }));
  expect(await count()).toBe(1);
});

it("removing a secret revokes all its leases, however many there are", async () => {
  await set("github-token");
  const prepared = await Promise.all(
    Array.from({ length: 450 }, (_, n) => leases.prepare(caller([RULE], { subject: `run_${n}` }))),
  );
  for (let n = 0; n < 450; n += 50) {
    await ground.storage.write((tx) => {
      for (const each of prepared.slice(n, n + 50)) each.write(tx);
    });
  }
  let told = 0;
  leases.onRevoked(() => {
    told += 1;
  });
  await secrets.remove(owner, "github-token");
  expect(told).toBe(450);
  expect((await leases.list(owner)).filter(({ revoked_at }) => revoked_at === null)).toEqual([]);
});

it("neither a secret nor a lease is in the database, the ledger or an error", async () => {
  await set("github-token");
  const who = caller();
  const { GITHUB_TOKEN = "" } = await issued(who);
  await sent(call(who), bearer(GITHUB_TOKEN));
  const error = await leases
    .find(call(who, { host: "b.example" }), bearer(GITHUB_TOKEN))
    .catch((reason: unknown) => reason);
  const listed = await ground.ledger.list({ tenant: owner.tenant, limit: 200 });
  await leases.revoke(owner, (await leases.list(owner))[0]!.id);
  await set("github-token", `${VALUE}, again`);
  const tables = ["egress_secrets", "egress_leases", "evidence_entries"];
  const rows = await Promise.all(tables.map((table) => ground.storage.all(`SELECT * FROM ${table}`, [])));
  const cells = rows.flat().flatMap((row) => Object.values(row));
  const files = readdirSync(ground.directory).filter((name) => name.startsWith("gantry.db"));
  expect(files).toEqual(engine.server === undefined ? expect.arrayContaining(["gantry.db-wal"]) : []);
  const kept = Buffer.concat([
    ...files.map((name) => readFileSync(`${ground.directory}/${name}`)),
    ...cells.map((cell) => (cell instanceof Uint8Array ? Buffer.from(cell) : Buffer.from(String(cell)))),
  ]);
  expect(kept.includes(`${owner.tenant}/github-token`)).toBe(true);
  const said = JSON.stringify([listed, error, String(error), (error as Error).stack]);
  for (const text of [VALUE, Buffer.from(VALUE).toString("base64"), Buffer.from(VALUE).toString("hex"), GITHUB_TOKEN]) {
    expect(kept.includes(text)).toBe(false);
    expect(said).not.toContain(text);
  }
});
