import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DoorGround, openDoorGround } from "../../../../tests/fixtures/door_ground.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { openUpstreams, type Upstreams } from "../../../../tests/fixtures/upstreams.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { EGRESS_FIRST_BYTE_MS_MAX, EGRESS_HEADERS_MS_MAX, EGRESS_IDLE_MS_MAX } from "../contract.ts";

let ground: DoorGround;
let upstreams: Upstreams;
let clock: VirtualClock;
let port: number;
/** Bytes of bodies that have arrived. */
let arrived = 0;
/** Calls that have arrived. */
let asked = 0;
let drip: (() => void) | undefined;
let gone = 0;

beforeAll(async () => {
  upstreams = openUpstreams();
  clock = new VirtualClock(Date.now());
  ground = await openDoorGround({ clock });
  ground.dns.addresses("api.example", ["127.0.0.2"], 60);
  port = await upstreams.http((call, answer) => {
    asked += 1;
    call.socket.once("close", () => (gone += 1));
    call.on("data", (chunk: Buffer) => (arrived += chunk.byteLength));
    if (call.url === "/drips") {
      answer.write("x");
      drip = () => answer.write("x");
    }
    if (call.url === "/floods") {
      const piece = Buffer.alloc(1 << 20);
      const push = (): void => void (answer.write(piece) ? push() : answer.once("drain", push));
      push();
    }
  }, "127.0.0.2");
});
afterAll(async () => {
  await ground.remove();
  await upstreams.close();
});

const rule = (more: Partial<EgressRule> = {}): EgressRule => ({
  hosts: ["api.example"],
  protocol: "http",
  ports: [port],
  methods: ["GET", "POST"],
  private: true,
  addresses: ["127.0.0.2"],
  response_bytes_max: 64 << 20,
  ...more,
});
const url = (path: string): string => `http://api.example:${port}${path}`;
/** Lets whatever waits in sockets happen. */
const settled = async (): Promise<void> => {
  for (let n = 0; n < 20; n += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe("a call that stands still ends, and its sockets with it", () => {
  it("when no answer begins", async () => {
    const { text, door } = await ground.open([rule()]);
    const before = gone;
    const earlier = asked;
    const waiting = text(url("/silent"));
    await eventually(() => asked > earlier && clock.pending >= 2);
    await settled();
    clock.advance(EGRESS_FIRST_BYTE_MS_MAX - 1);
    await settled();
    expect(gone).toBe(before);
    clock.advance(1);
    expect((await waiting).code).toBe("EGRESS_TIME");
    await eventually(() => gone === before + 1);
    await door.close();
  });

  it("when an answer goes on too slowly, but not when each byte is in time", async () => {
    const { call, door } = await ground.open([rule()]);
    const { body } = await call(url("/drips"));
    let read = 0;
    body.on("data", (chunk: Buffer) => (read += chunk.byteLength)).on("error", () => {});
    for (let n = 1; n <= 3; n += 1) {
      await eventually(() => read === n);
      clock.advance(EGRESS_IDLE_MS_MAX - 1);
      drip?.();
    }
    await eventually(() => read === 4);
    expect(body.destroyed).toBe(false);
    clock.advance(EGRESS_IDLE_MS_MAX);
    await eventually(() => body.destroyed);
    expect((await door.close()).rows[0]?.code).toBe("EGRESS_TIME");
  });

  it("when the guest does not send its body on", async () => {
    const { text, call, door } = await ground.open([rule({ id: "post" })]);
    const slow = new Readable({ read() {} });
    slow.push("begun");
    const waiting = call(url("/upload"), { method: "POST", body: slow, headers: { "transfer-encoding": "chunked" } });
    waiting.catch(() => {});
    await settled();
    await eventually(() => clock.pending >= 2);
    clock.advance(EGRESS_IDLE_MS_MAX - 1);
    slow.push("more");
    await settled();
    clock.advance(EGRESS_IDLE_MS_MAX);
    const answer = await waiting;
    expect(answer.status).toBe(504);
    answer.body.resume();
    // What is left of the body is waited for a while, and then the guest is cut off.
    await eventually(async () => {
      await settled();
      clock.advance(EGRESS_HEADERS_MS_MAX);
      return slow.destroyed || answer.body.destroyed;
    });
    slow.destroy();
    expect((await door.close()).rows[0]?.code).toBe("EGRESS_TIME");
    expect((await text(url("/"))).status).toBe(504);
  });

  it("when the guest does not take the answer", async () => {
    const { call, door } = await ground.open([rule()]);
    const before = gone;
    const { body } = await call(url("/floods"));
    body.on("error", () => {});
    await eventually(async () => {
      await settled();
      clock.advance(EGRESS_IDLE_MS_MAX / 10);
      return gone > before;
    });
    expect((await door.close()).rows[0]?.code).toBe("EGRESS_TIME");
    body.destroy();
  });

  it("when its rule gives it less time than that", async () => {
    const { text, door } = await ground.open([rule({ wall_ms_max: 50 })]);
    const earlier = asked;
    const waiting = text(url("/silent"));
    await eventually(() => asked > earlier && clock.pending >= 3);
    await settled();
    clock.advance(50);
    expect((await waiting).code).toBe("EGRESS_TIME");
    await door.close();
  });
});
