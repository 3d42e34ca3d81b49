import type { ActorRef } from "../../evidence/contract.ts";
import { assert } from "../../kernel/assert.ts";
import { GantryError, hasCode } from "../../kernel/errors.ts";
import type { RunId } from "../../kernel/ids.ts";
import type { Reader, Tx } from "../../storage/contract.ts";
import { type EgressIdentity, egress_errors, lease_errors } from "../contract.ts";
import type { Call, DoorEffects, EffectOutcome, EffectRef, Intended, Intent } from "../parts.ts";
import { type Answer, openAnswer, sealAnswer } from "./answers.ts";
import { type Standing, selectStanding } from "./fence_store.ts";
import { CallKeys, effectKey, sentKey } from "./keys.ts";
import { effectBusy, effectDone, effectUnknown, fenced, isHonoured, judgeKnown } from "./known.ts";
import type { EffectParts, Fence } from "./parts.ts";
import { isConflict, recording, unrecorded } from "./recorded.ts";
import { type Ended, recordEnd, type Settlements } from "./settlements.ts";
import { type EffectRow, type IntentRow, insertIntent, reopenIntent, selectKnown } from "./store.ts";

const HEADER = "gantry-idempotency-key";

/** What an intent is written as. */
interface Drafted {
  call: Call;
  row: IntentRow;
  needs_approval: boolean;
  /** Its key is of this attempt alone. */
  computed: boolean;
}
/** Of a unit that looked: a refusal is returned and not thrown, so that what it recorded is committed. */
type Looked =
  | { kind: "send"; doubtful: boolean }
  | { kind: "replay"; row: EffectRow }
  | { kind: "refused"; error: GantryError }
  | { kind: "fenced"; newest: number };

export interface OpenedFor {
  /** Tells of a fence that was met here. */
  met(of: Fence): void;
  settlements: Settlements;
  /** Every call of this door is this effect. */
  key?: string | undefined;
}

/** The effects of one door: one attempt's. */
export class AttemptEffects implements DoorEffects {
  readonly #parts: EffectParts;
  readonly #who: EgressIdentity;
  readonly #for: OpenedFor;
  readonly #call_keys = new CallKeys();
  readonly #actor: ActorRef[];
  /** Sent now, and perhaps by an earlier attempt as well: that this one came to nothing does not say that all did. */
  readonly #doubtful = new Set<string>();

  constructor(parts: EffectParts, who: EgressIdentity, opened_for: OpenedFor) {
    assert(who.epoch >= 1, "epochs count from 1");
    this.#parts = parts;
    this.#who = who;
    this.#for = opened_for;
    this.#actor = who.chain.map(({ actor, kind }) => ({ actor, kind }));
  }

  async intend(intent: Intent): Promise<Intended> {
    const { call, needs_approval, guest_key } = intent;
    const row = this.#rowOf(intent);
    const computed = guest_key === undefined && this.#for.key === undefined;
    const drafted: Drafted = { call, row, needs_approval, computed };
    const { settlements } = this.#for;
    // Only a key of the guest's own comes twice within an attempt; its end may still wait to be written.
    if (settlements.has(row.scope, row.key)) await settlements.flush();
    const looked = await this.#record(drafted);
    if (looked.kind === "fenced") throw this.#fenced(looked.newest);
    if (looked.kind === "send") {
      if (looked.doubtful) this.#doubtful.add(row.key);
      return { kind: "send", effect: { key: row.key }, header: headerOf(intent, guest_key ?? sentKey(row.key)) };
    }
    if (looked.kind === "replay") return this.#replayed(looked.row);
    throw looked.error;
  }

  settle({ key }: EffectRef, outcome: EffectOutcome): void {
    const { scope } = this.#who;
    const { random, keys } = this.#parts;
    const response = outcome.state === "done" ? outcome.response : undefined;
    const is_doubtful = this.#doubtful.delete(key) && outcome.state !== "done";
    this.#for.settlements.add({
      ...this.#end(key),
      state: is_doubtful ? "unknown" : outcome.state,
      status: "status" in outcome ? outcome.status : null,
      response_sealed: response === undefined ? null : sealAnswer(keys.answers, random, { scope, key }, response),
    });
  }

  async demandCurrent(): Promise<void> {
    const newest = await recording(this.#newer(this.#parts.storage));
    if (newest !== undefined) throw this.#fenced(newest);
  }

  async demandApproval(call: Call): Promise<void> {
    const { newest, error } = await recording(
      this.#parts.storage.write(
        async (tx): Promise<{ newest?: number | undefined; error?: GantryError | undefined }> => {
          const newest = await this.#newer(tx);
          return newest === undefined ? { error: await this.#unapproved(tx, call) } : { newest };
        },
      ),
    );
    if (newest !== undefined) throw this.#fenced(newest);
    if (error !== undefined) throw error;
  }

  flush(): Promise<void> {
    return this.#for.settlements.flush();
  }

  #rowOf({ call, guest_key, body_digest }: Intent): IntentRow {
    const { clock, node } = this.#parts;
    const { tenant: tenant_id, scope, root, epoch, subject, began_at } = this.#who;
    const computed = () => this.#call_keys.next(scope, call, body_digest);
    const key = this.#for.key ?? (guest_key === undefined ? computed() : effectKey(scope, call, { guest_key }));
    const { host } = call.target;
    const { id, boot } = node;
    const place = { scope, key, tenant_id, root, epoch, subject, node: id, boot };
    return { ...place, host, method: call.method, intended_at: clock.now(), began_at };
  }

  async #record(drafted: Drafted): Promise<Looked> {
    try {
      // Most calls repeat nothing: such an intent crosses to the writer as one message, without a read.
      if (!drafted.needs_approval) {
        try {
          await this.#parts.storage.write((tx) => {
            insertIntent(tx, drafted.row);
            this.#append(tx, drafted);
          });
          return { kind: "send", doubtful: false };
        } catch (error) {
          if (!isConflict(error)) throw error;
        }
      }
      return await this.#parts.storage.write((tx) => this.#look(tx, drafted));
    } catch (error) {
      const told = unrecorded(error);
      if (hasCode(told, egress_errors.LEDGER)) this.#disown(drafted);
      throw told;
    }
  }

  /**
   * A unit that failed may be durable all the same. If it is, the effect was not sent; a key that comes twice within an
   * attempt does not say by whom, and stays as it is.
   */
  #disown({ row, computed }: Drafted): void {
    if (computed) this.settle({ key: row.key }, { state: row.epoch === 1 ? "failed" : "unknown" });
  }

  async #look(tx: Tx, drafted: Drafted): Promise<Looked> {
    const { row, call } = drafted;
    const { known, ...standing } = await selectKnown(tx, row);
    const newest = this.#newest(standing);
    if (newest !== undefined) return { kind: "fenced", newest };
    const judged = known === undefined ? "send" : judgeKnown(known, row);
    if (known !== undefined && judged === "replay") return { kind: "replay", row: known };
    if (known !== undefined && judged === "done") return { kind: "refused", error: effectDone(known) };
    if (judged === "busy") return { kind: "refused", error: effectBusy() };
    if (known !== undefined && judged === "lost") recordEnd(tx, this.#parts.ledger, lostEnd(known, row.intended_at));
    if (judged !== "send" && !isHonoured(call.rule)) {
      return { kind: "refused", error: effectUnknown(call.target.host) };
    }
    const error = drafted.needs_approval ? await this.#unapproved(tx, call) : undefined;
    if (error !== undefined) return { kind: "refused", error };
    if (known === undefined) insertIntent(tx, row);
    else reopenIntent(tx, row);
    this.#append(tx, drafted);
    return { kind: "send", doubtful: judged !== "send" };
  }

  #append(tx: Tx, { call, row, needs_approval }: Drafted): void {
    const { view, approval } = this.#who;
    const { subject, scope, epoch, key, host, method } = row;
    const approved = needs_approval && approval !== null ? { approval: approval.id } : {};
    this.#parts.ledger.append(tx, {
      kind: "effect.intended",
      tenant: row.tenant_id,
      actor: this.#actor,
      refs: [subject],
      snapshot: view.snapshot,
      contract: view.ref,
      data: { subject, scope, epoch, key, host, method, rule: call.rule_id, ...approved },
    });
  }

  /** Why people do not stand behind this call; asked in its unit, which has to be committed either way. */
  async #unapproved(tx: Tx, { target: { host }, method }: Call): Promise<GantryError | undefined> {
    const { tenant, approval, subject } = this.#who;
    if (approval === null) {
      return new GantryError(lease_errors.APPROVAL, {
        detail: `${method} to ${host} takes a credential that people have to approve, and nobody was asked about this run.`,
      });
    }
    const effect = { tenant, approval: approval.id, run: subject as RunId, host, method };
    const checked = await this.#parts.approvals.check(tx, effect);
    return checked.ok ? undefined : checked.error;
  }

  /** The newest epoch of the root, when it is another than this one. */
  async #newer(reader: Reader): Promise<number | undefined> {
    return this.#newest(await selectStanding(reader, this.#who.root));
  }

  /** Behind the mark, the fence of this attempt may have been swept; which epoch it had is not known any more. */
  #newest({ fence, mark }: Standing): number | undefined {
    const { epoch, began_at } = this.#who;
    if (fence !== undefined && fence > epoch) return fence;
    return mark !== undefined && began_at <= mark ? epoch + 1 : undefined;
  }

  #replayed(row: EffectRow): Intended {
    const answer = this.#opened(row);
    if (answer === undefined || row.status === null) throw effectDone(row);
    return { kind: "replay", status: row.status, ...answer };
  }

  #opened({ scope, key, response_sealed }: EffectRow): Answer | undefined {
    const { keys, log } = this.#parts;
    try {
      return response_sealed === null ? undefined : openAnswer(keys.answers, { scope, key }, response_sealed);
    } catch (error) {
      log.error({ error, scope }, "a kept answer cannot be opened: it was sealed with another key");
      return undefined;
    }
  }

  #end(key: string): Omit<Ended, "state" | "status" | "response_sealed"> {
    const { tenant, subject, scope, root, epoch } = this.#who;
    return { tenant, subject, actor: this.#actor, scope, key, root, epoch, ended_at: this.#parts.clock.now() };
  }

  #fenced(newest: number): GantryError {
    this.#for.met({ root: this.#who.root, epoch: newest });
    return fenced(this.#who);
  }
}

/** An effect of an attempt that is dead. */
export function lostEnd({ tenant_id: tenant, scope, key, root, epoch, subject }: EffectRow, ended_at: number): Ended {
  const end = { state: "unknown" as const, status: null, response_sealed: null, ended_at };
  return { tenant, scope, key, root, epoch, subject, actor: [], ...end };
}

function headerOf({ call }: Intent, value: string): [string, string] | null {
  const { idempotency } = call.rule;
  return idempotency === "off" ? null : [idempotency?.header ?? HEADER, value];
}
