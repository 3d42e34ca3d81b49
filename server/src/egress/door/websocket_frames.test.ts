import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clientFrame, type FrameShape, frame } from "../../../../tests/fixtures/websocket_server.ts";
import { hasCode, isGantryError } from "../../kernel/errors.ts";
import { egress_errors, WEBSOCKET_MESSAGE_BYTES_MAX, WEBSOCKET_RATE_MAX } from "../contract.ts";
import { closeFrame, FrameReader } from "./websocket_frames.ts";

function guestReader(now = () => 0) {
  const seen: Buffer[] = [];
  const reader = new FrameReader({ by: "guest", now, payload: (bytes) => void seen.push(Buffer.from(bytes)) });
  return { reader, seen: () => Buffer.concat(seen) };
}

/** The code that pushing this ends with; undefined: it passes. */
function pushed(reader: FrameReader, ...chunks: Buffer[]): string | undefined {
  try {
    for (const chunk of chunks) reader.push(chunk);
    return undefined;
  } catch (error) {
    return isGantryError(error) ? error.code : String(error);
  }
}

describe("a WebSocket's frames", () => {
  it("are followed in whatever pieces they come, and what they carry is seen unmasked", () => {
    const message = fc.record({ payload: fc.uint8Array({ maxLength: 70_000 }), opcode: fc.constantFrom(1, 2) });
    const sizes = fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 4 }),
        sizes,
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        (messages, cuts, mask) => {
          const shapes = messages.map(({ payload, opcode }) => ({
            opcode,
            payload: Buffer.from(payload),
            mask: Buffer.from(mask),
          }));
          const bytes = Buffer.concat(shapes.map(frame));
          const { reader, seen } = guestReader();
          for (let at = 0, n = 0; at < bytes.length; n += 1) {
            const size = cuts[n % cuts.length]!;
            reader.push(bytes.subarray(at, at + size));
            at += size;
          }
          expect(seen().equals(Buffer.concat(shapes.map(({ payload }) => payload)))).toBe(true);
          expect(reader.is_between).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("never throw anything but a refusal, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect([undefined, "EGRESS_BAD_REQUEST", "EGRESS_SIZE", "EGRESS_BUDGET"]).toContain(
          pushed(guestReader().reader, Buffer.from(bytes)),
        );
      }),
    );
  });

  const broken: [string, FrameShape][] = [
    ["a reserved bit", { rsv: 4 }],
    ["a reserved opcode of data", { opcode: 3 }],
    ["a reserved opcode of control", { opcode: 11 }],
    ["a ping in fragments", { opcode: 9, fin: false }],
    ["a ping that is too long", { opcode: 9, payload: Buffer.alloc(126) }],
    ["a continuation of nothing", { opcode: 0 }],
  ];
  it.each(broken)("with %s break the protocol, whoever sends them", (_, shape) => {
    expect(pushed(guestReader().reader, clientFrame(shape))).toBe("EGRESS_BAD_REQUEST");
    expect(pushed(new FrameReader({ by: "server" }), frame(shape))).toBe("EGRESS_UPSTREAM");
  });

  it("are masked by guests and by nobody else", () => {
    expect(pushed(guestReader().reader, frame({}))).toBe("EGRESS_BAD_REQUEST");
    expect(pushed(new FrameReader({ by: "server" }), clientFrame({}))).toBe("EGRESS_UPSTREAM");
  });

  it("of control come between a message's fragments, another message does not", () => {
    const begun = clientFrame({ fin: false, payload: "a" });
    const ping = clientFrame({ opcode: 9 });
    const end = clientFrame({ opcode: 0, payload: "b" });
    expect(pushed(guestReader().reader, begun, ping, end, clientFrame({}))).toBe(undefined);
    expect(pushed(guestReader().reader, begun, clientFrame({}))).toBe("EGRESS_BAD_REQUEST");
  });

  it("tell when the connection is being closed", () => {
    const { reader } = guestReader();
    reader.push(clientFrame({ payload: "x" }));
    expect(reader.has_closed).toBe(false);
    reader.push(clientFrame({ opcode: 8 }));
    expect(reader.has_closed).toBe(true);
  });
});

describe("a WebSocket message", () => {
  it("may have WEBSOCKET_MESSAGE_BYTES_MAX bytes, and one more is known before it comes", () => {
    const at = clientFrame({ payload: Buffer.alloc(WEBSOCKET_MESSAGE_BYTES_MAX) });
    expect(pushed(guestReader().reader, at, at)).toBe(undefined);
    const head = frame({ mask: Buffer.alloc(4), length: BigInt(WEBSOCKET_MESSAGE_BYTES_MAX + 1) });
    expect(pushed(guestReader().reader, head)).toBe("EGRESS_SIZE");
    expect(pushed(new FrameReader({ by: "server" }), frame({ length: 2n ** 63n }))).toBe("EGRESS_SIZE");
  });

  it("is measured over all its fragments", () => {
    const half = Buffer.alloc(WEBSOCKET_MESSAGE_BYTES_MAX / 2);
    const begun = clientFrame({ fin: false, payload: half });
    const more = clientFrame({ fin: false, opcode: 0, payload: half });
    expect(pushed(guestReader().reader, begun, more, clientFrame({ opcode: 0 }))).toBe(undefined);
    expect(pushed(guestReader().reader, begun, more, clientFrame({ opcode: 0, payload: "x" }))).toBe("EGRESS_SIZE");
  });
});

describe("a guest's messages", () => {
  const message = clientFrame({ payload: "x" });

  it("may be WEBSOCKET_RATE_MAX in a second, and no more", () => {
    let now = 5;
    const { reader } = guestReader(() => now);
    const many = Array.from({ length: WEBSOCKET_RATE_MAX }, () => message);
    expect(pushed(reader, ...many)).toBe(undefined);
    now += 999;
    expect(pushed(reader, message)).toBe("EGRESS_BUDGET");
    const { reader: patient } = guestReader(() => now);
    expect(pushed(patient, ...many)).toBe(undefined);
    now += 1_000;
    expect(pushed(patient, ...many)).toBe(undefined);
  });

  it("are counted with pings, and with fragments that carry nothing", () => {
    const pings = Array.from({ length: WEBSOCKET_RATE_MAX }, () => clientFrame({ opcode: 9 }));
    expect(pushed(guestReader().reader, ...pings, message)).toBe("EGRESS_BUDGET");
    const empty = Array.from({ length: WEBSOCKET_RATE_MAX }, () => clientFrame({ opcode: 0, fin: false }));
    expect(pushed(guestReader().reader, clientFrame({ fin: false, payload: "x" }), ...empty)).toBe("EGRESS_BUDGET");
  });

  it("are counted as one each, in however many fragments", () => {
    const more = Array.from({ length: WEBSOCKET_RATE_MAX + 10 }, () =>
      clientFrame({ opcode: 0, fin: false, payload: "x" }),
    );
    expect(pushed(guestReader().reader, clientFrame({ fin: false, payload: "x" }), ...more)).toBe(undefined);
  });

  it("of a server are not counted", () => {
    const many = Array.from({ length: WEBSOCKET_RATE_MAX * 3 }, () => frame({ payload: "x" }));
    expect(pushed(new FrameReader({ by: "server" }), ...many)).toBe(undefined);
  });
});

it("a close frame carries our code as its reason", () => {
  const bytes = closeFrame(egress_errors.SIZE.code);
  expect(pushed(new FrameReader({ by: "server" }), bytes)).toBe(undefined);
  expect([bytes.readUInt16BE(2), bytes.subarray(4).toString()]).toEqual([1009, "EGRESS_SIZE"]);
  expect(closeFrame(egress_errors.BUDGET.code).readUInt16BE(2)).toBe(1008);
  expect(closeFrame("X".repeat(300)).length).toBe(127);
  expect(hasCode(undefined, egress_errors.SIZE)).toBe(false);
});
