import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { callerUnder, contractWith } from "../../../../tests/fixtures/egress_calls.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { EgressRule } from "../../policy/contract.ts";
import { EGRESS_REQUEST_BYTES_MAX, EGRESS_RESPONSE_BYTES_MAX, egress_errors } from "../contract.ts";
import { parseTarget } from "../destination/target.ts";
import { LiveCall } from "./live_call.ts";

function live(more: Partial<EgressRule> = {}) {
  const rule: EgressRule = { hosts: ["a.example"], protocol: "https", ...more };
  const judged = { target: parseTarget("https://a.example/", false), method: "GET" };
  const pinned = {
    ...{ ...judged, who: callerUnder(contractWith([rule])), rule, rule_id: "0", path_class: "*" },
    ...{ mutating: false, address: "192.0.2.1" },
  };
  const told: (string | null)[] = [];
  const host = { countBytes() {}, read() {}, ended: (_: LiveCall, code: string | null) => void told.push(code) };
  return { call: new LiveCall(host, pinned, judged, 0), told };
}
const stop = new GantryError(egress_errors.TIME, { detail: "enough" });

describe("a call under way", () => {
  it("may send and receive so much where its rule says nothing, and not a byte more", () => {
    const { call } = live();
    call.sent(EGRESS_REQUEST_BYTES_MAX);
    call.received(EGRESS_RESPONSE_BYTES_MAX);
    call.demandSize(EGRESS_REQUEST_BYTES_MAX);
    expect(call.stopped).toBeUndefined();
    expect(() => call.demandSize(EGRESS_REQUEST_BYTES_MAX + 1)).toThrow(/EGRESS_SIZE/);
    expect(() => call.sent(1)).toThrow(/EGRESS_SIZE/);
    expect(call.stopped?.code).toBe("EGRESS_SIZE");
    expect(() => live().call.received(EGRESS_RESPONSE_BYTES_MAX + 1)).toThrow(/EGRESS_SIZE/);
  });

  it("takes its connections with it, also those that come too late", () => {
    const { call } = live();
    const [before, after] = [new PassThrough(), new PassThrough()];
    call.add(before);
    call.stop(stop);
    call.add(after);
    expect([before.destroyed, after.destroyed, call.signal.reason]).toEqual([true, true, stop]);
  });

  it("ends once", () => {
    const { call, told } = live();
    call.end(null, 200);
    call.end("EGRESS_TIME");
    call.stop(stop);
    expect([told, call.signal.aborted]).toEqual([[null], false]);
  });
});
