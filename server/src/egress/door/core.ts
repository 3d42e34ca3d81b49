import type { GantryError } from "../../kernel/errors.ts";
import { DATA_CLASSES, type EgressRule, matchesHost, portsOf } from "../../policy/contract.ts";
import type { EgressIdentity, EgressSummary } from "../contract.ts";
import { pinAddress } from "../destination/pin.ts";
import { type AskedCall, judgeCall, ruleForName } from "../destination/rules.ts";
import { hrefOf, isLiteral } from "../destination/target.ts";
import type {
  Admitted,
  Call,
  Dialer,
  DoorCore,
  DoorEffects,
  Guards,
  Leases,
  Pinned,
  Resolver,
  Target,
} from "../parts.ts";
import { Budgets } from "./budgets.ts";
import type { DoorDeps } from "./deps.ts";
import { fenced, isDenial, leaseRevoked, pastDeadline, pastWallTime, runEnded, toFault } from "./faults.ts";
import { JudgedCalls } from "./judged_calls.ts";
import { type CallHost, LiveCall } from "./live_call.ts";
import { RedirectMemory } from "./redirects.ts";
import { maskedUrl, Summary } from "./summary.ts";

const TIMER_MS_MAX = 2 ** 31 - 1;

export interface Asked {
  target: Target;
  method: string;
}

/** One attempt's way out: what it may still call, what it called, and what is under way. */
export class OpenDoor implements DoorCore, CallHost {
  readonly who: EgressIdentity;
  readonly deps: DoorDeps;
  readonly effects: DoorEffects;
  readonly redirects: RedirectMemory;
  readonly #judged: JudgedCalls;
  readonly #budgets: Budgets;
  readonly #summary = new Summary();
  readonly #live = new Set<LiveCall>();
  /** Names that had nothing but public addresses. */
  readonly #public_names = new Set<string>();
  /** The highest class of what was read, as a place among `DATA_CLASSES`; -1: none has one. */
  #read_class = -1;
  /** Why nothing goes out any more. */
  #shut: GantryError | undefined;
  readonly #ends: (() => void)[];
  #end_deadline: (() => void) | undefined;
  #emptied: (() => void) | undefined;

  constructor(deps: DoorDeps, who: EgressIdentity) {
    this.deps = deps;
    this.who = who;
    this.effects = deps.effects.open(who);
    this.redirects = new RedirectMemory(deps.clock);
    this.#judged = new JudgedCalls(who);
    this.#budgets = new Budgets(who.view.contract.budgets);
    this.#ends = [
      () => this.#end_deadline?.(),
      deps.effects.onFenced(({ root, epoch }) => {
        if (root === who.root && epoch > who.epoch) this.#close(fenced());
      }),
      deps.leases.onRevoked(({ id, subject }) => {
        if (subject === who.subject) this.#stopLease(id);
      }),
      deps.watch(() => void this.#judgeAgain()),
    ];
    this.#watchDeadline();
  }

  get resolver(): Resolver {
    return this.deps.resolver;
  }
  get dialer(): Dialer {
    return this.deps.dialer;
  }
  get leases(): Leases {
    return this.deps.leases;
  }
  get guards(): Guards {
    return this.deps.guards;
  }

  async admit(asked: Asked): Promise<Admitted> {
    return this.admitCall(asked);
  }

  /** As `admit`. */
  async admitCall(asked: Asked): Promise<LiveCall> {
    const began = this.deps.clock.monotonic();
    let entered = false;
    let call: Call | undefined;
    try {
      this.#demandOpen();
      this.#budgets.enter();
      entered = true;
      const denied = await this.deps.denies.of(this.who.tenant);
      const with_class = this.#withClass(asked);
      const known = this.#judged.judge(with_class, denied);
      const let_out = known.call;
      call = let_out;
      this.#budgets.countCall(call.rule, call.rule_id);
      const { host } = asked.target;
      const addresses = isLiteral(host) ? [host.replace(/^\[|\]$/g, "")] : (await this.lookUp(host)).addresses;
      const address = this.#judged.pin(known.judged, addresses, () => this.#pin(let_out, addresses));
      // The run may have ended, or a limit been reached, while names were looked up.
      this.#demandOpen();
      return this.#begin({ ...let_out, address }, with_class, began);
    } catch (error) {
      if (entered) this.#budgets.leave();
      const fault = toFault(error, this.deps.log);
      this.#refused(asked, call, fault, began);
      throw fault;
    }
  }

  async mayLookUp(host: string): Promise<EgressRule | undefined> {
    const denied = await this.deps.denies.of(this.who.tenant);
    if (denied.some((pattern) => matchesHost(pattern, host))) return undefined;
    return ruleForName(this.who.view.contract.egress, host);
  }

  async lookUp(host: string, family?: 4 | 6): Promise<{ addresses: string[]; ttl_ms: number }> {
    this.#budgets.countName(host);
    return this.deps.resolver.addresses(host, family);
  }

  lookUpRecords(host: string, type: "TXT" | "MX" | "SRV"): Promise<{ records: unknown[]; ttl_ms: number }> {
    this.#budgets.countName(host);
    return this.deps.resolver.records(host, type);
  }

  demandReachable(rule: EgressRule, host: string, addresses: readonly string[]): void {
    if (addresses.length === 0) return;
    const target: Target = { protocol: rule.protocol, host, port: portsOf(rule)[0] ?? 0, path: "/", query: "" };
    const asked = { who: this.who, target, method: "GET", path_class: "*", mutating: false };
    this.#pin({ ...asked, rule, rule_id: rule.id ?? "" }, addresses);
  }

  count(row: { host: string; method: string; verdict: "allowed" | "denied"; code: string | null }): void {
    this.#metrics(row.verdict, row.code, 0);
    const empty = { path: null, rule: null, request_bytes: 0, response_bytes: 0, effect: false };
    this.#summary.add({ ...row, ...empty, line: { at: this.deps.clock.now(), ms: 0, url: row.host } });
  }

  countBytes(bytes: number): void {
    this.#budgets.countBytes(bytes);
  }

  read({ rule }: Pinned): void {
    if (rule.data_class === undefined) return;
    this.#read_class = Math.max(this.#read_class, DATA_CLASSES.indexOf(rule.data_class));
  }

  ended(live: LiveCall, code: string | null, status: number | undefined): void {
    this.#live.delete(live);
    this.#budgets.leave();
    const { pinned, request_bytes, response_bytes, began, noted } = live;
    const { target, method, rule, rule_id, path_class, mutating } = pinned;
    const verdict = code !== null && isDenial(code) ? "denied" : "allowed";
    const ms = this.#metrics(verdict, code, began);
    this.#summary.add({
      host: target.host,
      method: toldMethod(target, method),
      path: path_class,
      rule: rule_id,
      verdict,
      code,
      request_bytes,
      response_bytes,
      ...(rule.service === undefined ? {} : { service: rule.service }),
      ...(rule.environment === undefined ? {} : { environment: rule.environment }),
      effect: mutating,
      line: {
        at: this.deps.clock.now() - Math.round(ms),
        ms: Math.round(ms),
        url: maskedUrl(hrefOf(target)),
        ...(status === undefined ? {} : { status }),
        ...noted,
      },
    });
    if (this.#live.size === 0) this.#emptied?.();
  }

  /** As `EgressDoor.close`. */
  async close(): Promise<EgressSummary> {
    this.#close(runEnded());
    for (const end of this.#ends.splice(0)) end();
    if (this.#live.size > 0) {
      await new Promise<void>((resolve) => {
        this.#emptied = resolve;
      });
    }
    try {
      await this.effects.flush();
    } catch (error) {
      // What is not recorded now is `unknown` at the next start; the run's end must not wait for it.
      this.deps.log.error({ error, subject: this.who.subject }, "ends of effects could not be recorded");
    }
    return this.#summary.take();
  }

  #pin(call: Call, addresses: readonly string[]): string {
    const { host } = call.target;
    const { nat64, isSelf } = this.deps;
    const was_public = this.#public_names.has(host);
    const { address, is_public } = pinAddress(call, addresses, { nat64, isSelf, was_public });
    if (is_public && !isLiteral(host)) this.#public_names.add(host);
    return address;
  }

  #begin(pinned: Pinned, judged: AskedCall, began: number): LiveCall {
    const live = new LiveCall(this, pinned, judged, began);
    this.#live.add(live);
    const { wall_ms_max } = pinned.rule;
    if (wall_ms_max !== undefined) {
      live.release = this.deps.clock.after(wall_ms_max, () => live.stop(pastWallTime(wall_ms_max)));
    }
    return live;
  }

  /** @param call  the rules let it out, and something else did not. */
  #refused({ target, method }: Asked, call: Call | undefined, fault: GantryError, began: number): void {
    const verdict = isDenial(fault.code) ? "denied" : "allowed";
    const ms = this.#metrics(verdict, fault.code, began);
    this.#summary.add({
      host: target.host,
      method: toldMethod(target, method),
      path: call?.path_class ?? null,
      rule: call?.rule_id ?? null,
      verdict,
      code: fault.code,
      request_bytes: 0,
      response_bytes: 0,
      effect: false,
      line: { at: this.deps.clock.now(), ms: Math.round(ms), url: maskedUrl(hrefOf(target)) },
    });
  }

  /** @returns milliseconds since `began`, which is 0 for what took no time. */
  #metrics(verdict: string, code: string | null, began: number): number {
    const ms = began === 0 ? 0 : this.deps.clock.monotonic() - began;
    this.deps.metrics.add("gantry_egress_calls_total", { verdict, code: code ?? "none" });
    if (began !== 0) this.deps.metrics.observe("gantry_egress_duration_seconds", ms / 1_000);
    return ms;
  }

  #demandOpen(): void {
    if (this.#shut !== undefined) throw this.#shut;
    if (this.deps.clock.now() >= this.who.deadline_at) throw pastDeadline();
  }

  #watchDeadline(): void {
    const left = this.who.deadline_at - this.deps.clock.now();
    // Node's timers know no longer span, and take one for none.
    this.#end_deadline = this.deps.clock.after(Math.min(Math.max(left, 0), TIMER_MS_MAX), () => {
      if (this.deps.clock.now() < this.who.deadline_at) this.#watchDeadline();
      else this.#close(pastDeadline());
    });
  }

  #withClass(asked: Asked): AskedCall {
    const read_class = DATA_CLASSES[this.#read_class];
    return read_class === undefined ? asked : { ...asked, read_class };
  }

  #close(reason: GantryError): void {
    this.#shut ??= reason;
    for (const live of this.#live) live.stop(reason);
  }

  #stopLease(id: string): void {
    for (const live of this.#live) if (live.lease === id) live.stop(leaseRevoked(live.pinned.target.host));
  }

  /** What holds may have become narrower: each call under way must still be one that would be let out. */
  async #judgeAgain(): Promise<void> {
    this.#judged.forget();
    if (this.#live.size === 0) return;
    try {
      const denied = await this.deps.denies.of(this.who.tenant);
      for (const live of this.#live) this.#judgeLive(live, denied);
    } catch (error) {
      // What cannot be read is not assumed to be as it was.
      const fault = toFault(error, this.deps.log);
      for (const live of this.#live) live.stop(fault);
    }
  }

  #judgeLive(live: LiveCall, denied: readonly string[]): void {
    try {
      judgeCall(this.who, live.judged, denied);
    } catch (error) {
      live.stop(toFault(error, this.deps.log));
    }
  }
}

/** A WebSocket is asked for by GET, and is another thing. */
function toldMethod({ protocol }: Target, method: string): string {
  return protocol === "ws" || protocol === "wss" ? "WEBSOCKET" : method;
}
