import { describe, expect, it } from "vitest";
import { type Attended, isAttended } from "./contract.ts";

const BERLIN: Attended = { tz: "Europe/Berlin", days: [1, 2, 3, 4, 5], from: "08:00", to: "18:00" };
const at = (iso: string) => Date.parse(iso);

describe("people watch", () => {
  it.each([
    // Winter: CET is UTC+1. 2026-11-24 is a Tuesday.
    ["2026-11-24T06:59:59.999Z", false],
    ["2026-11-24T07:00:00.000Z", true],
    ["2026-11-24T16:59:59.999Z", true],
    ["2026-11-24T17:00:00.000Z", false],
    // Summer: CEST is UTC+2. 2026-07-01 is a Wednesday.
    ["2026-07-01T05:59:59.999Z", false],
    ["2026-07-01T06:00:00.000Z", true],
    ["2026-07-01T16:00:00.000Z", false],
    // A weekend, seen from the zone: Sunday 23:30 UTC is Monday 00:30 in Berlin.
    ["2026-11-28T12:00:00.000Z", false],
    ["2026-11-29T12:00:00.000Z", false],
  ])("from 08:00 to 18:00 in Berlin: %s is %s", (iso, expected) => {
    expect(isAttended(BERLIN, at(iso))).toBe(expected);
  });

  it("on the day of the zone, not of UTC", () => {
    const early: Attended = { ...BERLIN, days: [1], from: "00:00", to: "01:00" };
    expect(isAttended(early, at("2026-11-29T23:30:00Z"))).toBe(true);
    expect(isAttended(early, at("2026-11-30T23:30:00Z"))).toBe(false);
    const west: Attended = { tz: "America/Los_Angeles", days: [7], from: "15:00", to: "23:59" };
    expect(isAttended(west, at("2026-11-30T02:00:00Z"))).toBe(true);
  });

  // Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC. 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC.
  it("in no hour that summer time skips, and in both of those that it repeats", () => {
    const skipped: Attended = { ...BERLIN, days: [7], from: "02:00", to: "03:00" };
    for (let minute = 0; minute < 24 * 60; minute++) {
      expect(isAttended(skipped, at("2026-03-29T00:00:00Z") + minute * 60_000)).toBe(false);
    }
    for (const iso of ["2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z"]) expect(isAttended(skipped, at(iso))).toBe(true);
    for (const iso of ["2026-10-24T23:59:00Z", "2026-10-25T02:00:00Z"])
      expect(isAttended(skipped, at(iso))).toBe(false);
  });

  it("at midnight, which is 00:00 and not 24:00", () => {
    expect(isAttended({ tz: "UTC", days: [2], from: "00:00", to: "00:01" }, at("2026-11-24T00:00:30Z"))).toBe(true);
  });

  it("always, when the contract names no hours; never, where the zone or the moment is not known", () => {
    expect(isAttended(null, at("2026-11-29T03:00:00Z"))).toBe(true);
    expect(isAttended({ ...BERLIN, tz: "Mars/Olympus" }, at("2026-11-24T12:00:00Z"))).toBe(false);
    expect(isAttended(BERLIN, Number.NaN)).toBe(false);
  });
});
