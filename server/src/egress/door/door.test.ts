import { once } from "node:events";
import { connect } from "node:net";
import type { Readable } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type DoorGround,
  type OpenedFront,
  openDoorGround,
  PUBLIC,
  PUBLIC_HERE,
} from "../../../../tests/fixtures/door_ground.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { openUpstreams, type Upstreams } from "../../../../tests/fixtures/upstreams.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { EgressRule } from "../../policy/contract.ts";
import {
  BLOCKED_BODY_BYTES_MAX,
  DNS_ANSWERS_MAX,
  DNS_NAMES_MAX,
  DNS_TTL_MS_MIN,
  EGRESS_CONCURRENT_MAX,
  EGRESS_HEADER_FIELDS_MAX,
} from "../contract.ts";

let ground: DoorGround;
let upstreams: Upstreams;
let port: number;
let calls: number;
beforeAll(async () => {
  upstreams = openUpstreams();
  ground = await openDoorGround();
  ground.dns.addresses("api.example", ["127.0.0.2"]);
  port = await upstreams.http((call, answer) => {
    calls += 1;
    if (call.url === "/hang") answer.write("begun");
    else if (call.url?.startsWith("/bytes/")) answer.end(Buffer.alloc(Number(call.url.slice(7))));
    else call.resume().on("end", () => answer.end("ok"));
  }, "127.0.0.2");
});
beforeEach(() => {
  calls = 0;
  for (const list of [ground.denied, ground.kept, ground.dns.questions]) list.length = 0;
});
afterAll(async () => {
  await ground.remove();
  await upstreams.close();
});
/** Whatever way it ends. */
const closed = (stream: Readable): Promise<void> =>
  new Promise(
    (resolve) =>
      void stream
        .on("error", () => {})
        .on("close", () => resolve())
        .resume(),
  );

const rule = (more: Partial<EgressRule> = {}): EgressRule => ({
  id: "api",
  hosts: ["api.example", "*.api.example"],
  protocol: "http",
  ports: [port],
  methods: ["GET", "POST"],
  private: true,
  addresses: ["127.0.0.2"],
  ...more,
});
const url = (path = "/", host = "api.example"): string => `http://${host}:${port}${path}`;

describe("a refusal", () => {
  it("is a problem document with its code in a header too, and nothing is dialled", async () => {
    const { text, door } = await ground.open([rule({ paths: ["/v1/*"] })]);
    const answer = await text(url("/v2/x"));
    expect([answer.status, answer.code, answer.headers["gantry-egress"]]).toEqual([
      403,
      "EGRESS_PATH",
      "denied; code=EGRESS_PATH",
    ]);
    expect(JSON.parse(answer.text)).toMatchObject({
      next_steps: [{ kind: "contract.egress.rule", rule: { paths: ["/v2/x"] } }],
    });
    expect(calls).toBe(0);
    expect((await door.close()).rows).toMatchObject([
      { verdict: "denied", code: "EGRESS_PATH", rule: null, path: null, count: 1 },
    ]);
  });

  it("of what failed says so, and leaves the connection to the next call", async () => {
    const { text } = await ground.open([rule({ hosts: ["api.example", "nobody.example"] })]);
    const answer = await text(url("/", "nobody.example"));
    expect([answer.status, answer.headers["gantry-egress"]]).toEqual([502, "failed; code=EGRESS_UPSTREAM"]);
    expect((await text(url())).text).toBe("ok");
  });

  it("can be heard by a guest that still sends its body", async () => {
    const { text } = await ground.open([rule({ methods: ["GET"] })]);
    const answer = await text(url(), { method: "POST", body: Buffer.alloc(4 << 20) });
    expect([answer.status, answer.code, calls]).toEqual([403, "EGRESS_METHOD", 0]);
  });

  it("comes for a host that the tenant denies, whatever the contract says", async () => {
    const { text } = await ground.open([rule()]);
    ground.denied.push("api.example");
    expect((await text(url())).code).toBe("EGRESS_HOST");
  });
});

describe("what two readers could read in two ways", () => {
  const raw = async ({ socket }: OpenedFront, bytes: string): Promise<string> => {
    const guest = connect(socket);
    guest.write(Buffer.from(bytes, "latin1"));
    const said: Buffer[] = [];
    guest.on("data", (chunk: Buffer) => said.push(chunk));
    await once(guest, "close");
    return Buffer.concat(said).toString("latin1");
  };
  const heads: Record<string, string> = {
    "two lengths": "Content-Length: 1\r\nContent-Length: 2\r\n",
    "a length and a coding": "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    "a coding that is not chunked": "Transfer-Encoding: gzip, chunked\r\n",
    "a bare line feed in a value": "X-A: 1\n2\r\n",
    "a NUL in a value": "X-A: 1\0\r\n",
    "another host": "Host: other.example\r\n",
    "two hosts": "Host: api.example\r\nHost: api.example\r\n",
    "a length that is none": "Content-Length: +1\r\n",
    "a line that goes on": "X-A: 1\r\n b\r\n",
  };
  for (const [what, head] of Object.entries(heads)) {
    it(`is refused and the connection closed: ${what}`, async () => {
      const opened = await ground.open([rule()]);
      const said = await raw(opened, `POST ${url()} HTTP/1.1\r\n${head}\r\nx`);
      expect(said.split("\r\n")[0]).toMatch(/^HTTP\/1\.1 400 /);
      expect([calls, ground.dns.questions.length]).toEqual([0, 0]);
    });
  }

  it("is refused: HTTP/1.0, user names in URLs, and more header fields than may be", async () => {
    const opened = await ground.open([rule()]);
    expect(await raw(opened, `GET ${url()} HTTP/1.0\r\n\r\n`)).toContain("EGRESS_BAD_REQUEST");
    expect(await raw(opened, `GET http://a:b@api.example:${port}/ HTTP/1.1\r\n\r\n`)).toContain("EGRESS_BAD_REQUEST");
    const fields = (n: number): string => Array.from({ length: n }, (_, i) => `X-${i}: 1\r\n`).join("");
    const closing = "Connection: close\r\n";
    const most = await raw(opened, `GET ${url()} HTTP/1.1\r\n${closing}${fields(EGRESS_HEADER_FIELDS_MAX - 1)}\r\n`);
    expect(most).toContain("200 OK");
    const more = await raw(opened, `GET ${url()} HTTP/1.1\r\n${closing}${fields(EGRESS_HEADER_FIELDS_MAX)}\r\n`);
    expect(more).toContain("EGRESS_BAD_REQUEST");
  });

  it("is not the URL's own host, however it is spelled", async () => {
    const { text } = await ground.open([rule()]);
    expect((await text(url(), { headers: { host: `API.example.:${port}` } })).text).toBe("ok");
    expect((await text("/", { headers: { host: `api.example:${port}` } })).text).toBe("ok");
  });
});

describe("a budget", () => {
  it("of calls is the contract's, and one call more is refused while the run goes on", async () => {
    const contract = { budgets: { egress_calls_max: 2, egress_bytes_max: 1_000 } };
    const { text } = await ground.open([rule()], { contract });
    const told = [];
    for (let n = 0; n < 4; n += 1) told.push((await text(url())).status);
    expect(told).toEqual([200, 200, 429, 429]);
    expect(calls).toBe(2);
  });

  it("of bytes counts both ways, and breaks off the call that goes past it", async () => {
    const contract = { budgets: { egress_calls_max: 10, egress_bytes_max: 100 } };
    const at = await ground.open([rule()], { contract });
    expect((await at.text(url("/bytes/90"), { method: "POST", body: "1234567890" })).text).toHaveLength(90);
    expect((await at.text(url("/bytes/1"))).code).toBe("EGRESS_BUDGET");
    const past = await ground.open([rule()], { contract });
    await expect(past.text(url("/bytes/91"), { method: "POST", body: "1234567890" })).rejects.toThrow(
      /aborted|hang up/,
    );
    expect((await past.door.close()).rows).toMatchObject([{ code: "EGRESS_BUDGET", verdict: "denied" }]);
  });

  it("of one rule is its own", async () => {
    const { text } = await ground.open([rule({ calls_max: 1 }), rule({ id: "post", methods: ["POST"], calls_max: 1 })]);
    const told = [];
    for (const method of ["GET", "GET", "GET"]) told.push((await text(url(), { method })).status);
    expect(told).toEqual([200, 429, 429]);
  });

  it("of a body holds at its limit and one past it, either way, told before or not", async () => {
    const { text } = await ground.open([rule({ request_bytes_max: 10, response_bytes_max: 20 })]);
    const post = (n: number, length: boolean) =>
      text(url(), {
        method: "POST",
        body: "x".repeat(n),
        headers: length ? { "content-length": String(n) } : { "transfer-encoding": "chunked" },
      });
    expect([(await post(10, true)).status, (await post(10, false)).status]).toEqual([200, 200]);
    expect([(await post(11, true)).code, (await post(11, false)).code]).toEqual(["EGRESS_SIZE", "EGRESS_SIZE"]);
    expect((await text(url("/bytes/20"))).text).toHaveLength(20);
    await expect(text(url("/bytes/21"))).rejects.toThrow(/aborted|hang up/);
  });

  it(`of calls at a time is ${EGRESS_CONCURRENT_MAX}, and a place is free again at once`, async () => {
    const { call, text, door } = await ground.open([rule()]);
    const open = await Promise.all(Array.from({ length: EGRESS_CONCURRENT_MAX }, () => call(url("/hang"))));
    expect((await text(url())).code).toBe("EGRESS_CAPACITY");
    open[0]?.body.destroy();
    await eventually(async () => (await text(url())).status === 200);
    await door.close();
  });

  it(`of names is ${DNS_NAMES_MAX}; a name that is known costs nothing`, async () => {
    const { text } = await ground.open([rule()]);
    for (let n = 0; n < DNS_NAMES_MAX; n += 1) {
      ground.dns.addresses(`n${n}.api.example`, ["127.0.0.2"]);
      expect((await text(url("/", `n${n}.api.example`))).status).toBe(200);
    }
    expect((await text(url())).code).toBe("EGRESS_BUDGET");
    expect((await text(url("/", "n0.api.example"))).status).toBe(200);
  });
});

describe("a name", () => {
  it("that had public addresses and has others later is not followed", async () => {
    const clock = new VirtualClock(Date.now());
    const own = await openDoorGround({ clock });
    const here = await upstreams.http((_call, answer) => answer.end("out"), PUBLIC_HERE);
    own.dns.addresses("moves.example", [PUBLIC], 0);
    const { text } = await own.open([rule({ hosts: ["moves.example"], ports: [here] })]);
    expect((await text(`http://moves.example:${here}/`)).text).toBe("out");
    own.dns.addresses("moves.example", ["127.0.0.2"], 0);
    // What is known is believed for its least time to live, and then asked for anew.
    expect((await text(`http://moves.example:${here}/`)).text).toBe("out");
    clock.advance(DNS_TTL_MS_MIN);
    expect((await text(`http://moves.example:${here}/`)).code).toBe("EGRESS_DNS_REBIND");
    await own.remove();
  });

  it("is refused for one address that is not granted among others that are", async () => {
    ground.dns.addresses("mixed.api.example", ["127.0.0.2", "127.0.0.5"]);
    ground.dns.set("www.api.example", [{ type: "CNAME", data: "inside.example" }]);
    ground.dns.addresses("inside.example", ["10.0.0.1"]);
    ground.dns.addresses("meta.api.example", ["169.254.169.254"]);
    ground.dns.addresses(
      "m.example",
      Array.from({ length: DNS_ANSWERS_MAX + 1 }, (_, n) => `192.0.2.${n + 1}`),
    );
    const { text } = await ground.open([rule({ hosts: ["*.api.example", "m.example"] })]);
    const codes = [];
    for (const name of ["mixed.api", "www.api", "meta.api", "m"])
      codes.push((await text(url("/", `${name}.example`))).code);
    expect(codes).toEqual(["EGRESS_PRIVATE_ADDR", "EGRESS_PRIVATE_ADDR", "EGRESS_METADATA", "EGRESS_DNS"]);
    expect(calls).toBe(0);
  });

  it("is never Gantry itself", async () => {
    const { text } = await ground.open([rule()], {
      deps: { isSelf: (address, at) => address === "127.0.0.2" && at === port },
    });
    expect((await text(url())).code).toBe("EGRESS_SELF");
  });
});

describe("a call under way ends within 100 ms", () => {
  /** Whatever else goes on on the machine delays some; what was slow of itself would be so each time. */
  const ROUNDS = 3;
  const timeOf = async (work: Promise<void>): Promise<number> => {
    const began = performance.now();
    await work;
    return performance.now() - began;
  };
  const ends: Record<string, { code: string; act: (opened: OpenedFront) => unknown }> = {
    "when the tenant denies its host": {
      code: "EGRESS_HOST",
      act: () => {
        ground.denied.push("api.example");
        ground.notice();
      },
    },
    "when a newer attempt begins": {
      code: "EGRESS_FENCED",
      act: ({ who }) =>
        ground.storage.write((tx) => ground.book.fence(tx, { tenant: who.tenant, root: who.root, epoch: 2 })),
    },
    "when its run ends": { code: "EGRESS_TIME", act: ({ door }) => void door.close() },
  };
  for (const [when, { code, act }] of Object.entries(ends)) {
    it(when, async () => {
      const took: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        ground.denied.length = 0;
        const opened = await ground.open([rule()]);
        const answer = await opened.call(url("/hang"));
        const cut = closed(answer.body);
        await act(opened);
        took.push(await timeOf(cut));
        expect((await opened.text(url())).code).toBe(code === "EGRESS_HOST" ? "EGRESS_HOST" : code);
        expect((await opened.door.close()).rows[0]).toMatchObject({ code, path: "*" });
      }
      expect(Math.min(...took), String(took)).toBeLessThan(100);
    });
  }

  it("when its lease is revoked", async () => {
    const leased = rule({ secret: { name: "api-token", slot: "bearer" } });
    await ground.secrets.set(ground.owner, "api-token", Buffer.from("the canary of secrets"));
    const took: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const opened = await ground.open([leased]);
      const prepared = await ground.leases.prepare(opened.who);
      await ground.storage.write((tx) => prepared.write(tx));
      const headers = { authorization: `Bearer ${prepared.vars["API_TOKEN"]}` };
      const answer = await opened.call(url("/hang"), { headers });
      const cut = closed(answer.body);
      const lease = (await ground.leases.list(ground.owner)).find(({ subject }) => subject === opened.who.subject);
      await ground.leases.revoke(ground.owner, lease?.id ?? "");
      took.push(await timeOf(cut));
      expect((await opened.text(url(), { headers })).code).toBe("LEASE_REVOKED");
    }
    expect(Math.min(...took), String(took)).toBeLessThan(100);
  });

  it("and its run's time ends all of them", async () => {
    const clock = new VirtualClock(Date.now());
    const own = await openDoorGround({ clock });
    own.dns.addresses("api.example", ["127.0.0.2"]);
    const opened = await own.open([rule()], { who: { deadline_at: clock.now() + 1_000 } });
    const answer = await opened.call(url("/hang"));
    const cut = closed(answer.body);
    clock.advance(999);
    expect(answer.body.destroyed).toBe(false);
    clock.advance(1);
    await cut;
    expect((await opened.text(url())).code).toBe("EGRESS_TIME");
    await own.remove();
  });
});

describe("a call that policy stops", () => {
  it("is kept where its rule asks for it, and only what may change something", async () => {
    const keeping = rule({ paths: ["/v1/*"], on_blocked: "dead-letter" });
    const { text } = await ground.open([keeping]);
    const headers = { "x-own": "1", "gantry-idempotency-key": "order-7" };
    expect((await text(url("/v2/a?b=c"), { method: "POST", body: "body", headers })).code).toBe("EGRESS_PATH");
    expect(ground.kept).toMatchObject([
      { code: "EGRESS_PATH", method: "POST", target: { path: "/v2/a", query: "?b=c" }, guest_key: "order-7" },
    ]);
    expect(ground.kept[0]?.body.toString()).toBe("body");
    await text(url("/v2/a"));
    await text(url("/v2/a", "other.example"), { method: "POST", body: "x" });
    expect(ground.kept).toHaveLength(1);
  });

  it(`is kept with a body of ${BLOCKED_BODY_BYTES_MAX} bytes and not of one more, nor with a token of ours in it`, async () => {
    const { text } = await ground.open([rule({ paths: ["/v1/*"], on_blocked: "dead-letter" })]);
    const post = (body: Buffer | string) =>
      text(url("/v2"), { method: "POST", body, headers: { "transfer-encoding": "chunked" } });
    await post(Buffer.alloc(BLOCKED_BODY_BYTES_MAX + 1));
    await post(`token=${ground.secret}`);
    expect(ground.kept).toHaveLength(0);
    await post(Buffer.alloc(BLOCKED_BODY_BYTES_MAX));
    expect(ground.kept[0]?.body).toHaveLength(BLOCKED_BODY_BYTES_MAX);
  });
});
