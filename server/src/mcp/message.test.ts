import { describe, expect, it } from "vitest";
import { isGantryError } from "../kernel/errors.ts";
import { MCP_BATCH_MAX, MCP_BODY_BYTES_MAX } from "./contract.ts";
import { messageOf } from "./message.ts";

const sent = (body: string | Uint8Array<ArrayBuffer>) => new Request("http://h/mcp", { method: "POST", body });
const codeOf = (body: string | Uint8Array<ArrayBuffer>) =>
  messageOf(sent(body)).then(
    () => "taken",
    (error: unknown) => (isGantryError(error) ? error.code : String(error)),
  );

describe("the body of a message", () => {
  it("is JSON of at most MCP_BODY_BYTES_MAX bytes", async () => {
    expect(await messageOf(sent('{"jsonrpc":"2.0"}'))).toEqual({ jsonrpc: "2.0" });
    expect(await codeOf(`"${"x".repeat(MCP_BODY_BYTES_MAX - 2)}"`)).toBe("taken");
    expect(await codeOf(`"${"x".repeat(MCP_BODY_BYTES_MAX - 1)}"`)).toBe("MCP_TOO_LARGE");
  });

  it("is counted in bytes and read across chunks that cut a character", async () => {
    const bytes = new TextEncoder().encode('"é"');
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    const request = new Request("http://h/mcp", { method: "POST", body: stream, duplex: "half" } as RequestInit);
    expect(await messageOf(request)).toBe("é");
  });

  it.each(["", "{", "[", "\u0000"])("that is %j is refused", async (body) => {
    expect(await codeOf(body)).toBe("MCP_MESSAGE");
  });

  it("that is not UTF-8 is refused", async () => {
    expect(await codeOf(Uint8Array.of(0x22, 0xff, 0x22))).toBe("MCP_MESSAGE");
  });

  it("may be a batch of 1 to MCP_BATCH_MAX", async () => {
    const batch = (size: number) => JSON.stringify(Array.from({ length: size }, () => ({})));
    expect(await codeOf(batch(MCP_BATCH_MAX))).toBe("taken");
    expect([await codeOf(batch(0)), await codeOf(batch(MCP_BATCH_MAX + 1))]).toEqual(["MCP_MESSAGE", "MCP_MESSAGE"]);
  });
});
