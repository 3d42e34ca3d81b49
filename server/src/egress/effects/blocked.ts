import type { ActorRef } from "../../evidence/contract.ts";
import type { Principal } from "../../identity/contract.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { BlockedCallId } from "../../kernel/ids.ts";
import type { PolicyView } from "../../policy/contract.ts";
import type { Fire } from "../../storage/contract.ts";
import {
  BLOCKED_BODY_BYTES_MAX,
  BLOCKED_MS_MAX,
  type BlockedCallList,
  type BlockedCallView,
  type EgressIdentity,
  egress_errors,
} from "../contract.ts";
import { hrefOf } from "../destination/target.ts";
import type { HeaderList, Target } from "../parts.ts";
import { safeHead } from "./blocked_head.ts";
import type { BlockedParts, Resend, ResentCall, StoppedCall } from "./blocked_parts.ts";
import { demandRetry } from "./blocked_retry.ts";
import {
  type BlockedRow,
  deleteBlocked,
  failBlocked,
  insertBlocked,
  selectBlocked,
  selectBlockedCall,
  selectContent,
  settleBlocked,
} from "./blocked_store.ts";
import { bodyDigest, CallKeys, effectKey } from "./keys.ts";
import { isConflict, recording } from "./recorded.ts";
import { seal, unseal } from "./seal.ts";

const TIMER = "egress.blocked";
/** What carries what looks like a secret, or comes from an attempt that is over, is nobody's to let go on. */
const NEVER: readonly string[] = [egress_errors.DLP, egress_errors.OWN_TOKEN, egress_errors.FENCED].map(
  ({ code }) => code,
);

/** Calls that policy stopped and that a person may let go on. Another tenant's is EGRESS_BLOCKED_UNKNOWN everywhere. */
export class BlockedCalls implements BlockedCallList {
  readonly #parts: BlockedParts;
  /** Equal calls of one attempt are numbered; the attempt is whose door this is. */
  readonly #call_keys = new WeakMap<EgressIdentity, CallKeys>();
  readonly #retrying = new Set<string>();

  /** Before the timers start. */
  constructor(parts: BlockedParts) {
    this.#parts = parts;
    parts.storage.timers.on(TIMER, (fire) => this.#expire(fire));
  }

  /**
   * Keeps the call, unless it may not be kept, or an earlier attempt's equal one is there, or as many wait as may. Never
   * rejects: whether it was kept changes nothing about its refusal.
   */
  async keep(call: StoppedCall): Promise<void> {
    const { storage, ledger, log, ids } = this.#parts;
    const { who, code, method, target } = call;
    if (NEVER.includes(code) || call.body.byteLength > BLOCKED_BODY_BYTES_MAX) return;
    const id = ids("blk");
    try {
      const row = this.#rowOf(id, call);
      await storage.write((tx) => {
        insertBlocked(tx, row);
        storage.timers.set(tx, { owner: TIMER, key: id, due_at: row.expires_at });
        ledger.append(tx, {
          kind: "call.blocked",
          tenant: who.tenant,
          actor: who.chain.map(({ actor, kind }) => ({ actor, kind })),
          refs: [id, who.subject],
          snapshot: who.view.snapshot,
          contract: who.view.ref,
          data: { blocked: id, subject: who.subject, code, host: target.host, method },
        });
      });
    } catch (error) {
      const why = isConflict(error) ? "it is kept already, or as many wait as may" : "it could not be written";
      log.warn({ error, subject: who.subject, code, why }, "a blocked call was not kept");
    }
  }

  async list(who: Principal): Promise<BlockedCallView[]> {
    return (await selectBlocked(this.#parts.storage, who.tenant)).map((row) => this.#viewOf(row));
  }

  async show(who: Principal, id: string): Promise<BlockedCallView> {
    return this.#viewOf(await this.#demand(who, id));
  }

  /** What was kept of it besides the view: what would be sent. @throws EGRESS_BLOCKED_UNKNOWN EGRESS_BLOCKED_SETTLED */
  async content(who: Principal, id: string): Promise<{ headers: HeaderList; leased: string[]; body: Buffer }> {
    const row = await this.#demand(who, id);
    const content = await selectContent(this.#parts.storage, row.id);
    if (content === undefined) throw settled(row);
    const { blocked } = this.#parts.keys;
    const head = JSON.parse(unseal(blocked, `${row.id}/head`, content.head_sealed).toString("utf8")) as ReturnType<
      typeof safeHead
    >;
    const { body_sealed } = content;
    return { ...head, body: body_sealed === null ? Buffer.alloc(0) : unseal(blocked, `${row.id}/body`, body_sealed) };
  }

  async drop(who: Principal, id: string): Promise<void> {
    const { storage, ledger } = this.#parts;
    const row = await this.#demand(who, id);
    demandOpen(row);
    await recording(
      storage.write((tx) => {
        settleBlocked(tx, row.id, "dropped", null);
        const { id: blocked, tenant_id: tenant } = row;
        ledger.append(tx, { kind: "call.dropped", tenant, actor: actorsOf(who), refs: [blocked], data: { blocked } });
      }),
    );
  }

  /**
   * A refusal under the contract as it is now leaves the call waiting. Of one that was sent and got no answer, or one
   * that says that it was not done, the state is `failed`: it may be tried again, under the same key.
   */
  async retry(who: Principal, id: string): Promise<BlockedCallView> {
    const { policy, resend } = this.#parts;
    const row = await this.#demand(who, id);
    demandOpen(row);
    if (this.#retrying.has(id)) throw settled(row, "is being sent at this moment");
    this.#retrying.add(id);
    try {
      const view = await policy.open(who.tenant, row.contract);
      const target = this.#targetOf(row);
      demandRetry(view, who, { id: row.id, target, method: row.method });
      const { subject, scope, key, method } = row;
      const content = await this.content(who, id);
      const call: ResentCall = { id: row.id, subject, scope, key, view, target, method, ...content };
      return await this.#retried(who, row, view, await resend(who, call));
    } finally {
      this.#retrying.delete(id);
    }
  }

  async #retried(
    who: Principal,
    row: BlockedRow,
    view: PolicyView,
    outcome: Awaited<ReturnType<Resend>>,
  ): Promise<BlockedCallView> {
    const { storage, ledger } = this.#parts;
    const { id, tenant_id: tenant, subject } = row;
    const status = "status" in outcome ? outcome.status : null;
    // Done before, by a later attempt of the run or by a retry whose end was not recorded here.
    const was_done = "code" in outcome && outcome.code === egress_errors.EFFECT_DONE.code;
    const state = was_done || (status !== null && !isRejection(status)) ? "sent" : "failed";
    await recording(
      storage.write((tx) => {
        if (state === "sent") settleBlocked(tx, id, state, status);
        else failBlocked(tx, id, status);
        ledger.append(tx, {
          kind: "call.retried",
          tenant,
          actor: actorsOf(who),
          refs: [id, subject],
          snapshot: view.snapshot,
          contract: view.ref,
          data: { blocked: id, state, ...outcome },
        });
      }),
    );
    return this.#viewOf({ ...row, state, status });
  }

  #rowOf(id: BlockedCallId, { who, code, target, method, headers, body, guest_key }: StoppedCall) {
    const { clock, random, keys } = this.#parts;
    const { tenant: tenant_id, subject, scope, view } = who;
    const call_keys = this.#call_keys.get(who) ?? new CallKeys();
    this.#call_keys.set(who, call_keys);
    const call = { target, method };
    const key =
      guest_key === undefined ? call_keys.next(scope, call, bodyDigest(body)) : effectKey(scope, call, { guest_key });
    const sealed = (what: string, bytes: Uint8Array) => seal(keys.blocked, random, `${id}/${what}`, bytes);
    const json = (value: unknown) => Buffer.from(JSON.stringify(value), "utf8");
    const created_at = clock.now();
    return {
      ...{ id, tenant_id, subject, scope, key, code, method, host: target.host },
      ...{ contract: view.ref.name, contract_version: view.ref.version },
      target_sealed: sealed("target", json(target)),
      head_sealed: sealed("head", json(safeHead(headers))),
      body_sealed: body.byteLength === 0 ? null : sealed("body", body),
      body_bytes: body.byteLength,
      ...{ state: "waiting" as const, status: null, created_at, expires_at: created_at + BLOCKED_MS_MAX },
    };
  }

  #targetOf({ id, target_sealed }: BlockedRow): Target {
    return JSON.parse(unseal(this.#parts.keys.blocked, `${id}/target`, target_sealed).toString("utf8")) as Target;
  }

  #viewOf(row: BlockedRow): BlockedCallView {
    const { id, subject, code, method, body_bytes, state, status, created_at, expires_at } = row;
    const contract = { name: row.contract, version: row.contract_version };
    const url = hrefOf(this.#targetOf(row));
    return { id, subject, contract, code, method, url, body_bytes, state, status, created_at, expires_at };
  }

  async #demand(who: Principal, id: string): Promise<BlockedRow> {
    const row = await selectBlockedCall(this.#parts.storage, id);
    if (row !== undefined && row.tenant_id === who.tenant) return row;
    throw new GantryError(egress_errors.BLOCKED_UNKNOWN, { detail: "The tenant has no blocked call of this id." });
  }

  /** A call that nobody decided about is not sent any more; the row stays for as long again, so that it can be seen. */
  async #expire(fire: Fire): Promise<void> {
    const { storage, ledger } = this.#parts;
    await storage.write(async (tx) => {
      const row = await selectBlockedCall(tx, fire.key);
      storage.timers.done(tx, fire);
      if (row === undefined) return;
      if (!isOpen(row)) return deleteBlocked(tx, row.id);
      const { id: blocked, tenant_id: tenant } = row;
      settleBlocked(tx, row.id, "expired", row.status);
      storage.timers.set(tx, { owner: TIMER, key: row.id, due_at: fire.due_at + BLOCKED_MS_MAX });
      ledger.append(tx, { kind: "call.dropped", tenant, actor: [], refs: [blocked], data: { blocked } });
    });
  }
}

/** As the door has it: answered, and yet not done. */
function isRejection(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

function isOpen({ state }: Pick<BlockedRow, "state">): boolean {
  return state === "waiting" || state === "failed";
}

function demandOpen(row: BlockedRow): void {
  if (!isOpen(row)) throw settled(row);
}

function settled({ id, state }: BlockedRow, what = `is ${state} and cannot be sent any more`): GantryError {
  return new GantryError(egress_errors.BLOCKED_SETTLED, { detail: `The blocked call ${id} ${what}.` });
}

function actorsOf({ chain }: Principal): ActorRef[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}
