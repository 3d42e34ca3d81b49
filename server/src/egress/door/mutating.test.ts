import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DoorGround, openDoorGround } from "../../../../tests/fixtures/door_ground.ts";
import { StallingStorage } from "../../../../tests/fixtures/stalling_storage.ts";
import { openUpstreams, type Upstreams } from "../../../../tests/fixtures/upstreams.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { ApprovalId } from "../../kernel/ids.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { errors as storage_errors } from "../../storage/contract.ts";
import { EFFECT_BODY_BYTES_MAX, INTENT_AGE_MS_MAX } from "../contract.ts";
import type { DoorEffects, EffectOutcome } from "../parts.ts";

const SECRET = "canary/of+the secret=7";

let ground: DoorGround;
let stalling: StallingStorage;
let upstreams: Upstreams;
let port: number;
/** What arrived: method, URL, headers, body. */
let calls: { line: string; headers: Record<string, unknown>; body: string }[];
let answer_with: (url: string) => { status?: number; headers?: Record<string, string>; body?: string };
/** Asked of people, as approvals are. */
let checked: string[];

beforeAll(async () => {
  upstreams = openUpstreams();
  checked = [];
  ground = await openDoorGround({
    wrap: (inner) => {
      stalling = new StallingStorage(inner);
      return stalling;
    },
    approvals: {
      async check(_tx, { host, method }) {
        checked.push(`${method} ${host}`);
        return { ok: true };
      },
    },
  });
  ground.dns.addresses("api.example", ["127.0.0.2"]);
  port = await upstreams.http((call, answer) => {
    const chunks: Buffer[] = [];
    call.on("data", (chunk: Buffer) => chunks.push(chunk));
    call.on("end", () => {
      calls.push({
        line: `${call.method} ${call.url}`,
        headers: call.headers,
        body: Buffer.concat(chunks).toString("latin1"),
      });
      const { status = 200, headers = {}, body = "done" } = answer_with(call.url ?? "");
      answer.writeHead(status, headers);
      answer.end(body);
    });
  }, "127.0.0.2");
  await ground.secrets.set(ground.owner, "api-token", Buffer.from(SECRET));
});
beforeEach(() => {
  calls = [];
  checked.length = 0;
  answer_with = () => ({});
});
afterAll(async () => {
  await ground.remove();
  await upstreams.close();
});

const rule = (more: Partial<EgressRule> = {}): EgressRule => ({
  id: "api",
  hosts: ["api.example"],
  protocol: "http",
  ports: [port],
  methods: ["GET", "POST"],
  private: true,
  addresses: ["127.0.0.2"],
  ...more,
});
const url = (path = "/"): string => `http://api.example:${port}${path}`;
const ends = async (subject: string): Promise<unknown[]> =>
  (await ground.told(subject)).map(({ kind, data }) => (kind === "effect.ended" ? data["state"] : kind));

describe("a call that may change something", () => {
  it("is intended before it leaves, carries its key, and its end is recorded once", async () => {
    const { text, door, who } = await ground.open([rule()]);
    answer_with = () => ({ status: 201 });
    expect((await text(url("/a"), { method: "POST", body: "{}" })).status).toBe(201);
    const summary = await door.close();
    expect(calls[0]?.headers["gantry-idempotency-key"]).toMatch(/^[0-9a-f]{64}$/);
    expect(summary.effects).toBe(1);
    expect(await ends(who.subject)).toEqual(["effect.intended", "done"]);
  });

  it("is 503 and not sent when its intent cannot be recorded; what only reads goes on, and metrics count both", async () => {
    const counted: string[] = [];
    const metrics: Metrics = {
      add: (name, labels) => void counted.push(`${name} ${Object.values(labels ?? {}).join(" ")}`),
      observe: (name) => void counted.push(name),
      set() {},
    };
    const { text, door } = await ground.open([rule()], { deps: { metrics } });
    stalling.failNext(new GantryError(storage_errors.FULL, { detail: "no space" }));
    expect(await text(url(), { method: "POST", body: "x" })).toMatchObject({ status: 503, code: "EGRESS_LEDGER" });
    expect(calls).toHaveLength(0);
    expect((await text(url())).status).toBe(200);
    expect((await text(url(), { method: "POST", body: "x" })).status).toBe(200);
    await door.close();
    expect(counted.filter((name) => name.startsWith("gantry_egress_calls_total"))).toEqual([
      "gantry_egress_calls_total allowed EGRESS_LEDGER",
      "gantry_egress_calls_total allowed none",
      "gantry_egress_calls_total allowed none",
    ]);
    expect(counted.filter((name) => name === "gantry_egress_duration_seconds")).toHaveLength(3);
  });

  it("is answered again in a later attempt, with what was answered first, and sent once", async () => {
    const first = await ground.open([rule()]);
    answer_with = () => ({ status: 201, headers: { "x-own": "1", "content-type": "text/x" }, body: "first" });
    await first.text(url("/a"), { method: "POST", body: "same" });
    await first.door.close();
    await ground.storage.write((tx) =>
      ground.book.fence(tx, { tenant: first.who.tenant, root: first.who.root, epoch: 2 }),
    );
    const later = await ground.open([rule()], { who: { ...first.who, epoch: 2 } });
    const again = await later.text(url("/a"), { method: "POST", body: "same" });
    expect([again.status, again.text, again.headers["x-own"], again.headers["gantry-replayed"]]).toEqual([
      201,
      "first",
      "1",
      "1",
    ]);
    expect(calls).toHaveLength(1);
    expect((await first.text(url("/a"), { method: "POST" })).code).toBe("EGRESS_TIME");
  });

  it("is not sent at all when a newer attempt has begun elsewhere", async () => {
    const { text, who } = await ground.open([rule()]);
    // Behind this process's back, as another machine would.
    const other = ground.another({ id: "node_b", boot: "boot_1" });
    await ground.storage.write((tx) => other.fence(tx, { tenant: who.tenant, root: who.root, epoch: 2 }));
    expect(await text(url(), { method: "POST", body: "x" })).toMatchObject({ status: 409, code: "EGRESS_FENCED" });
    expect(calls).toHaveLength(0);
  });

  it(`is kept with an answer of ${EFFECT_BODY_BYTES_MAX} bytes and without one of one more`, async () => {
    for (const [bytes, replayed] of [
      [EFFECT_BODY_BYTES_MAX, true],
      [EFFECT_BODY_BYTES_MAX + 1, false],
    ] as const) {
      answer_with = () => ({ body: "x".repeat(bytes) });
      const first = await ground.open([rule()]);
      expect((await first.text(url("/b"), { method: "POST" })).text).toHaveLength(bytes);
      await first.door.close();
      const later = await ground.open([rule()], { who: { ...first.who, epoch: 2 } });
      const again = await later.text(url("/b"), { method: "POST" });
      if (replayed) expect(again.text).toHaveLength(bytes);
      else expect(again.code).toBe("EGRESS_EFFECT_DONE");
    }
  });

  it("has its body in its key up to the limit, and beyond it goes on as it comes", async () => {
    const digests: string[] = [];
    const ref = { key: "k" };
    const effects: DoorEffects = {
      intend: async ({ body_digest }) => {
        digests.push(body_digest);
        return { kind: "send", effect: ref, header: null };
      },
      settle() {},
      async demandCurrent() {},
      async demandApproval() {},
      async flush() {},
    };
    const { text } = await ground.open([rule()], {
      deps: { effects: { open: () => effects, onFenced: () => () => {} } },
    });
    await text(url(), { method: "POST", body: "x".repeat(EFFECT_BODY_BYTES_MAX) });
    await text(url(), { method: "POST", body: "x".repeat(EFFECT_BODY_BYTES_MAX + 1) });
    await text(url(), { method: "POST", body: "x".repeat(1 << 20) });
    expect(digests).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), "stream", "stream"]);
    expect(calls.map(({ body }) => body.length)).toEqual([EFFECT_BODY_BYTES_MAX, EFFECT_BODY_BYTES_MAX + 1, 1 << 20]);
  });

  it("ends as what is known of it: answered, put off, never sent, or not known", async () => {
    const outcomes: EffectOutcome[] = [];
    const of = (open: typeof ground.book.open) => ({
      open: (who: Parameters<typeof open>[0]) => {
        const real = ground.book.open(who);
        return new Proxy(real, {
          get: (target, name) => {
            if (name === "settle") {
              return (ref: { key: string }, outcome: EffectOutcome) => {
                outcomes.push(outcome);
                real.settle(ref, outcome);
              };
            }
            const value = Reflect.get(target, name);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
      onFenced: ground.book.onFenced.bind(ground.book),
    });
    const silent = await upstreams.tcp((socket) => socket.once("data", () => socket.destroy()), "127.0.0.2");
    const cut = await upstreams.saying(
      "HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nshort",
      undefined,
      "127.0.0.2",
    );
    const { text } = await ground.open([rule({ ports: [port, silent, cut, 1] })], {
      deps: { effects: of(ground.book.open) },
    });
    const post = (at: number) => text(`http://api.example:${at}/`, { method: "POST", body: "x" }).catch(() => "cut");
    for (const status of [200, 404, 408, 425, 429, 500, 503]) {
      answer_with = () => ({ status });
      await post(port);
    }
    for (const at of [1, silent, cut]) await post(at);
    expect(outcomes.map((each) => `${each.state}${"status" in each ? ` ${each.status}` : ""}`)).toEqual([
      ...["done 200", "done 404", "rejected 408", "rejected 425", "rejected 429", "rejected 500", "rejected 503"],
      ...["failed", "unknown", "done 201"],
    ]);
  });

  it(`is held against the fence once more when its intent is older than ${INTENT_AGE_MS_MAX} ms`, async () => {
    let now = 0;
    const clock = { ...ground.clock, monotonic: () => now };
    let looks = 0;
    const opened = (age_ms: number) => ({
      open: (): DoorEffects => ({
        intend: async () => ({ kind: "send", effect: { key: "k" }, header: null }),
        settle() {},
        async demandCurrent() {
          looks += 1;
        },
        async demandApproval() {},
        async flush() {},
      }),
      onFenced: () => () => {},
      age_ms,
    });
    const leases = (age_ms: number) => ({
      find: async () => ({ id: "lse_1", secret: "s", needs_approval: false }),
      // What takes its time between the intent and the call.
      swap: async (_call: unknown, _found: unknown, headers: [string, string][]) => {
        now += age_ms;
        const scan = { head() {}, push: async (chunk: Buffer) => chunk, end: async () => Buffer.alloc(0) };
        return { headers, scan };
      },
      onRevoked: () => () => {},
    });
    for (const age_ms of [INTENT_AGE_MS_MAX, INTENT_AGE_MS_MAX + 1]) {
      const { text } = await ground.open([rule()], {
        deps: { clock, effects: opened(age_ms), leases: leases(age_ms) },
      });
      expect((await text(url(), { method: "POST" })).status).toBe(200);
    }
    expect(looks).toBe(1);
  });

  it("is named by the guest where the guest names it", async () => {
    const named = rule({ idempotency: { header: "Idempotency-Key", honoured: true } });
    const { text } = await ground.open([named]);
    await text(url(), { method: "POST", headers: { "idempotency-key": "order-7" } });
    const ours = await ground.open([rule()]);
    await ours.text(url(), { method: "POST", headers: { "gantry-idempotency-key": "order-8" } });
    const off = await ground.open([rule({ idempotency: "off" })]);
    await off.text(url(), { method: "POST", headers: { "idempotency-key": "its own" } });
    expect(calls.map(({ headers }) => [headers["idempotency-key"], headers["gantry-idempotency-key"]])).toEqual([
      ["order-7", undefined],
      [undefined, "order-8"],
      ["its own", undefined],
    ]);
  });
});

describe("a lease", () => {
  const leased = (more: Partial<EgressRule> = {}): EgressRule =>
    rule({ secret: { name: "api-token", slot: "bearer" }, ...more });
  const open = async (rules: EgressRule[], o: Parameters<DoorGround["open"]>[1] = {}) => {
    const opened = await ground.open(rules, o);
    const prepared = await ground.leases.prepare(opened.who);
    await ground.storage.write((tx) => prepared.write(tx));
    return { ...opened, headers: { authorization: `Bearer ${prepared.vars["API_TOKEN"]}`, "accept-encoding": "gzip" } };
  };

  it("becomes the secret on the way out, and the guest never sees it", async () => {
    const { text, headers, door } = await open([leased()]);
    expect((await text(url(), { headers })).text).toBe("done");
    expect(calls[0]?.headers["authorization"]).toBe(`Bearer ${SECRET}`);
    expect(calls[0]?.headers["accept-encoding"]).toBe("identity");
    const { log } = await door.close();
    expect(log).not.toContain("canary");
    expect(log).not.toContain("gl_");
  });

  it("is no use in another rule, and an answer that holds the secret is no answer", async () => {
    const { text, headers } = await open([leased({ methods: ["GET"] }), rule({ id: "other" })]);
    expect((await text(url(), { method: "POST", headers })).code).toBe("LEASE_SCOPE");
    answer_with = () => ({ headers: { "x-echo": SECRET } });
    expect((await text(url(), { headers })).code).toBe("EGRESS_SECRET_ECHO");
    answer_with = () => ({ body: `${"x".repeat(1_000)}${Buffer.from(SECRET).toString("base64")}${"x".repeat(1_000)}` });
    await expect(text(url(), { headers })).rejects.toThrow(/aborted|hang up/);
  });

  it("of a privileged contract needs what people approved, for reads as well", async () => {
    const contract = { class: "privileged" as const };
    const approval = { id: "apr_1" as ApprovalId, gates: [] };
    const { text, headers } = await open([leased()], { contract, who: { approval } });
    expect((await text(url(), { headers })).status).toBe(200);
    expect((await text(url(), { method: "POST", headers })).status).toBe(200);
    expect((await text(url())).status).toBe(200);
    expect(checked).toEqual(["GET api.example", "POST api.example"]);
    expect((await text(url(), { method: "POST", body: "without a lease" })).status).toBe(200);
    expect(checked).toHaveLength(3);
  });
});

describe("what guards refuse", () => {
  it("never leaves: a token of ours in URL, header or body, before anything is intended", async () => {
    const { text, door, who } = await ground.open([rule()]);
    const token = ground.secret;
    expect((await text(url(`/?t=${token}`))).code).toBe("EGRESS_OWN_TOKEN");
    expect((await text(url(), { headers: { "x-a": token } })).code).toBe("EGRESS_OWN_TOKEN");
    expect((await text(url(), { method: "POST", body: `{"t":"${token}"}` })).code).toBe("EGRESS_OWN_TOKEN");
    const long = Buffer.concat([Buffer.alloc(2 << 20, "x"), Buffer.from(token), Buffer.alloc(100)]);
    const told = await text(url(), { method: "POST", body: long }).then(
      ({ code }) => code,
      () => "cut",
    );
    expect(told).toBe("EGRESS_OWN_TOKEN");
    expect(calls).toHaveLength(0);
    expect((await door.close()).rows.every(({ verdict }) => verdict === "denied")).toBe(true);
    expect(await ends(who.subject)).toEqual(["effect.intended", "unknown"]);
  });

  it("is what looks like a secret, where the contract denies that, and noted where it does not", async () => {
    const key = `AKIA${"QWERTZUI23456723"}`;
    const body = `aws_access_key_id = ${key}\n`;
    const deny = await ground.open([rule()], { contract: { dlp: { action: "deny" } } });
    expect((await deny.text(url(), { method: "POST", body })).code).toBe("EGRESS_DLP");
    expect(calls).toHaveLength(0);
    const log = await ground.open([rule()], { contract: { dlp: { action: "log" } } });
    expect((await log.text(url(), { method: "POST", body })).status).toBe(200);
    expect((await log.door.close()).log).toContain('"noticed":["EGRESS_DLP"]');
  });
});
