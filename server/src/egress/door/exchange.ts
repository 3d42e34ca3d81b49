import { GantryError } from "../../kernel/errors.ts";
import { EGRESS_HEADER_FIELDS_MAX, egress_errors, INTENT_AGE_MS_MAX } from "../contract.ts";
import { isHeldByPeople } from "../destination/people.ts";
import { hrefOf } from "../destination/target.ts";
import type { AnswerScan, Exchanged, FoundLease, HeaderList, Intended } from "../parts.ts";
import { CallClock } from "./call_clock.ts";
import type { OpenDoor } from "./core.ts";
import { hungUp, toFault } from "./faults.ts";
import type { Guest } from "./guest.ts";
import { answerHeaders, type CallHead, fieldOf, guestKey, hostHeader, isVerifiable } from "./headers.ts";
import type { LiveCall } from "./live_call.ts";
import { type OutgoingBody, resendBody, takeBody } from "./outgoing_body.ts";
import { PendingEffect } from "./pending_effect.ts";
import { type Hop, isRedirect, nextHop } from "./redirects.ts";
import { KeptBody, relayPlain, relaySearched, writeWhole } from "./relay.ts";

/** One hop of a guest's call that the door has let out. */
interface Passing {
  door: OpenDoor;
  guest: Guest;
  head: CallHead;
  hop: Hop;
  live: LiveCall;
  clock: CallClock;
}
/** What the hop was answered with, before any of its body has been read. */
interface Head {
  status: number;
  headers: HeaderList;
}

/**
 * Steps 5 to 9 of one call: looked at, intended where it may change something, given its credential, sent, and its answer
 * passed on. Ends `live`.
 * @returns the hop that follows, when the answer is a redirect and the guest wants that followed here.
 * @throws whatever stopped it, as an error that may be told; the guest has heard nothing yet, or too little.
 */
export async function passHop(of: Pick<Passing, "door" | "guest" | "head" | "hop" | "live">): Promise<Hop | undefined> {
  const { door, guest, live } = of;
  const clock = new CallClock(door.deps.clock, live);
  const closed = (): void => {
    // A guest that has hung up wants nothing any more.
    if (!guest.answer.writableFinished) live.stop(hungUp());
  };
  guest.answer.once("close", closed);
  try {
    return await pass({ ...of, clock });
  } catch (error) {
    const fault = live.stopped ?? toFault(error, door.deps.log);
    live.end(fault.code);
    throw fault;
  } finally {
    guest.answer.off("close", closed);
    clock.stop();
  }
}

async function pass(of: Passing): Promise<Hop | undefined> {
  const { door, hop, live, head, guest, clock } = of;
  const { effects, guards, leases } = door;
  const call = live.pinned;
  const headers = door.redirects.strip(hop.target, hop.headers);
  live.noted.headers = headers.map(([name]) => name.toLowerCase());
  if (hop.n > 0) live.noted.hop = hop.n;
  const noticed = guards.head(call, headers);
  const lease = await leases.find(call, headers);
  live.lease = lease?.id;
  const body =
    hop.n === 0
      ? await takeBody({ call: guest.call, head, headers, live, clock }, guards)
      : await resendBody(hop.whole ?? null, headers, live, guards);
  note(live, [...noticed, ...body.noticed()]);
  if (!call.mutating) {
    if (lease?.needs_approval === true) await effects.demandApproval(call);
    return await send(of, { headers, body, lease, intended: undefined });
  }
  const intended = await effects.intend({
    call,
    body_digest: body.digest,
    ...guestKey(call.rule, headers, head.guest_key),
    needs_approval: lease?.needs_approval === true || isHeldByPeople(call.who.view.contract, "egress.request"),
  });
  if (intended.kind === "replay") return replay(of, intended, body.whole);
  return send(of, { headers, body, lease, intended });
}

interface Sending {
  headers: HeaderList;
  body: OutgoingBody;
  lease: FoundLease | undefined;
  intended: Extract<Intended, { kind: "send" }> | undefined;
}

async function send(of: Passing, { headers, body, lease, intended }: Sending): Promise<Hop | undefined> {
  const { door, live, clock } = of;
  const { effects, leases, deps } = door;
  const effect = intended === undefined ? undefined : new PendingEffect(effects, intended.effect);
  const intended_at = deps.clock.monotonic();
  try {
    let sent = intended?.header == null ? headers : withHeader(headers, intended.header);
    let scan: AnswerScan | undefined;
    if (lease !== undefined) ({ headers: sent, scan } = await leases.swap(live.pinned, lease, sent));
    if (intended !== undefined && deps.clock.monotonic() - intended_at > INTENT_AGE_MS_MAX)
      await effects.demandCurrent();
    const exchanged = await exchange(of, sent, body, effect);
    effect?.answered(exchanged.status);
    clock.down();
    const next = await answerWith(of, exchanged, { scan, effect, whole: body.whole });
    effect?.done();
    note(live, body.noticed());
    live.end(null, exchanged.status);
    return next;
  } catch (error) {
    effect?.broke();
    throw error;
  }
}

function exchange(
  { door, hop, live, clock }: Passing,
  headers: HeaderList,
  body: OutgoingBody,
  effect: PendingEffect | undefined,
): Promise<Exchanged> {
  const { address, rule, who } = live.pinned;
  const sent: HeaderList = [["host", hostHeader(hop.target)], ...headers];
  if (body.length !== undefined) sent.push(["content-length", String(body.length)]);
  const { bytes } = body;
  if (bytes === null || Buffer.isBuffer(bytes)) clock.waiting();
  else bytes.once("end", () => clock.waiting());
  return door.dialer.exchange({
    pool: rule.private === true ? `${who.tenant} private` : who.tenant,
    target: hop.target,
    address,
    method: hop.method,
    headers: sent,
    body: bytes,
    signal: live.signal,
    ...(effect === undefined ? {} : { sending: () => effect.sending() }),
  });
}

interface Answering {
  scan: AnswerScan | undefined;
  effect: PendingEffect | undefined;
  whole: Buffer | null | undefined;
}

async function answerWith(
  of: Passing,
  exchanged: Exchanged,
  { scan, effect, whole }: Answering,
): Promise<Hop | undefined> {
  const { hop, live, guest, clock } = of;
  const { status, body } = exchanged;
  live.received(0);
  try {
    if (exchanged.headers.length > EGRESS_HEADER_FIELDS_MAX) throw tooManyFields(hop.target.host);
    const headers = answerHeaders(exchanged.headers);
    scan?.head(status, headers);
    const next = follow(of, { status, headers }, whole);
    if (next !== undefined) {
      effect?.done({ headers, body: Buffer.alloc(0) });
      body.destroy();
      return next;
    }
    if (!isVerifiable(hop.method, status, exchanged.headers)) live.noted.unverifiable = true;
    writeHead(of, { status, headers });
    const relay = { body, answer: guest.answer, live, clock };
    const kept = effect === undefined ? undefined : new KeptBody();
    if (scan === undefined) await relayPlain(relay, kept);
    else await relaySearched(relay, scan, kept);
    const whole_answer = kept?.whole();
    effect?.done(whole_answer === undefined ? undefined : { headers, body: whole_answer });
    return undefined;
  } catch (error) {
    body.destroy();
    throw error;
  }
}

/** A repetition of what is recorded as done: nothing is sent. */
async function replay(
  of: Passing,
  { status, headers, body }: Extract<Intended, { kind: "replay" }>,
  whole: Buffer | null | undefined,
): Promise<Hop | undefined> {
  const { live, guest } = of;
  live.noted.replayed = true;
  live.received(body.byteLength);
  const next = follow(of, { status, headers }, whole);
  if (next === undefined) {
    writeHead(of, { status, headers: [...headers, ["gantry-replayed", "1"]] });
    await writeWhole(guest.answer, body, live.signal);
  }
  live.end(null, status);
  return next;
}

/** @throws EGRESS_REDIRECT */
function follow({ door, head, hop }: Passing, answer: Head, whole: Buffer | null | undefined): Hop | undefined {
  const location = fieldOf(answer.headers, "location");
  if (!isRedirect(answer.status, location)) return undefined;
  if (head.follow) return nextHop({ ...hop, whole }, answer.status, location);
  door.redirects.remember(hop.target, location);
  return undefined;
}

function writeHead({ hop, guest }: Passing, { status, headers }: Head): void {
  const final = hop.n === 0 ? [] : ["gantry-final-url", hrefOf(hop.target)];
  // What the far end says of the time is passed on, not what this process says.
  guest.answer.sendDate = false;
  try {
    guest.answer.writeHead(status, [...headers.flat(), ...final]);
  } catch (error) {
    throw new GantryError(egress_errors.UPSTREAM, {
      detail: `${hop.target.host} sent a head that cannot be passed on.`,
      internal: error,
    });
  }
}

function withHeader(headers: HeaderList, [name, value]: [string, string]): HeaderList {
  return [...headers.filter(([each]) => each.toLowerCase() !== name.toLowerCase()), [name, value]];
}

function note(live: LiveCall, noticed: readonly string[]): void {
  if (noticed.length > 0) live.noted.noticed = [...new Set([...(live.noted.noticed ?? []), ...noticed])];
}

function tooManyFields(host: string): GantryError {
  return new GantryError(egress_errors.UPSTREAM, {
    detail: `The answer of ${host} has more than ${EGRESS_HEADER_FIELDS_MAX} header fields.`,
  });
}
