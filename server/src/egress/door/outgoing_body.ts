import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { sha256Hex } from "../../kernel/hash.ts";
import { DLP_WINDOW_BYTES_MAX, EFFECT_BODY_BYTES_MAX } from "../contract.ts";
import type { Guards, HeaderList } from "../parts.ts";
import type { CallClock } from "./call_clock.ts";
import { GuestBody, lookAt } from "./guest_body.ts";
import type { CallHead } from "./headers.ts";
import type { LiveCall } from "./live_call.ts";

/** What is sent as the body of one hop. */
export interface OutgoingBody {
  bytes: Readable | Buffer | null;
  /** As an effect's key has it. */
  digest: string;
  /** The whole of it, where it is here; undefined: it is not. */
  whole: Buffer | null | undefined;
  /** What the guest said of its length, where it is sent as it comes. */
  length: number | undefined;
  /** What the guard noticed and let pass, so far. */
  noticed(): string[];
}

const EMPTY = sha256Hex("");
const nothing = (): string[] => [];

/** Of the guest's first hop: what may change something is here as a whole, or past what a guard holds back, before it is intended. */
export async function takeBody(
  of: { call: IncomingMessage; head: CallHead; headers: HeaderList; live: LiveCall; clock: CallClock },
  guards: Guards,
): Promise<OutgoingBody> {
  const { call, head, headers, live, clock } = of;
  if (head.body === null) return { bytes: null, digest: EMPTY, whole: null, length: undefined, noticed: nothing };
  if (head.body !== "chunked") live.demandSize(head.body);
  const guard = guards.body(live.pinned, headers);
  const noticed = guard === undefined ? nothing : () => guard.noticed();
  const body = new GuestBody(call, live, guard, clock);
  const length = head.body === "chunked" ? undefined : head.body;
  if (!live.pinned.mutating && !head.follow) {
    return { bytes: body.stream(), digest: "stream", whole: undefined, length, noticed };
  }
  const whole = await body.gather(guard === undefined ? EFFECT_BODY_BYTES_MAX : DLP_WINDOW_BYTES_MAX, live.signal);
  if (whole === undefined) return { bytes: body.stream(), digest: "stream", whole: undefined, length, noticed };
  const digest = whole.byteLength > EFFECT_BODY_BYTES_MAX ? "stream" : sha256Hex(whole);
  return { bytes: whole, digest, whole, length: undefined, noticed };
}

/** Of a further hop: the same bytes, looked at once more for another destination. */
export async function resendBody(
  whole: Buffer | null,
  headers: HeaderList,
  live: LiveCall,
  guards: Guards,
): Promise<OutgoingBody> {
  if (whole === null) return { bytes: null, digest: EMPTY, whole, length: undefined, noticed: nothing };
  live.sent(whole.byteLength);
  const guard = guards.body(live.pinned, headers);
  await lookAt(whole, guard);
  return { bytes: whole, digest: sha256Hex(whole), whole, length: undefined, noticed: () => guard?.noticed() ?? [] };
}
