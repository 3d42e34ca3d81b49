import type { Principal } from "../identity/contract.ts";
import type { ApprovalSubject } from "../policy/contract.ts";
import { demandAttended, stateAttendance } from "./attendance.ts";
import { breakTheGlass } from "./break_glass.ts";
import { APPROVALS_PAGE_DEFAULT, type ApprovalView, type Gates, type Subject } from "./contract.ts";
import { closeDebt, demandNoDebt, openDebts } from "./debt.ts";
import { checkEffect } from "./effect.ts";
import { executeApproval, withdrawApproval } from "./execute.ts";
import { onTimers } from "./expiry.ts";
import type { GateKey } from "./gate_key.ts";
import { demandApproval } from "./judge.ts";
import { type GateParts, type GateRoom, Subjects } from "./parts.ts";
import { requestApproval } from "./request.ts";
import { selectPage } from "./store.ts";
import { viewApproval, viewListed } from "./view.ts";
import { castVote } from "./vote.ts";

/** The room, and how those that ask become known to it. */
export interface GatesLife extends Gates {
  /** Enters the room that asks about this; each once, before anything is asked. */
  enter(name: ApprovalSubject, subject: Subject): void;
  /** What verifies service proofs. */
  readonly key: Pick<GateKey, "kid" | "public_key">;
}

/** Built before `storage.timers.start`, because it registers the handlers of its clocks. */
export function createGates(parts: GateParts): GatesLife {
  const room: GateRoom = { ...parts, subjects: new Subjects() };
  const { storage } = parts;
  onTimers(room);
  const get = (who: Principal, id: string): Promise<ApprovalView> =>
    storage.snapshot(async (reader) => viewApproval(reader, (await demandApproval(reader, who.tenant, id)).row));
  return {
    key: { kid: parts.key.kid, public_key: parts.key.public_key },
    enter: (name, subject) => room.subjects.enter(name, subject),
    request: (tx, draft) => requestApproval(room, tx, draft),
    execute: (tx, asked) => executeApproval(room, tx, asked),
    withdraw: (tx, asked) => withdrawApproval(room, tx, asked),
    check: (tx, effect) => checkEffect(room, tx, effect),
    demandNoDebt,
    list: (who, query) =>
      storage.snapshot(async (reader) => {
        const limit = query.limit ?? APPROVALS_PAGE_DEFAULT;
        const rows = await selectPage(reader, who.tenant, query, limit);
        const items: ApprovalView[] = [];
        for (const row of rows.slice(0, limit)) items.push(await viewListed(reader, row));
        const last = items.at(-1);
        return { items, ...(rows.length > limit && last !== undefined ? { next: last.id } : {}) };
      }),
    get,
    async vote(who, id, vote) {
      await castVote(room, who, id, vote);
      return get(who, id);
    },
    async breakGlass(who, id, glass) {
      await breakTheGlass(room, who, id, glass);
      return get(who, id);
    },
    debts: (who) => openDebts(room, who.tenant),
    closeDebt: (who, id, note) => closeDebt(room, who, id, note),
    attend: (who) => stateAttendance(room, who),
    demandAttended: (reader, tenant) => demandAttended(room, reader, tenant),
  };
}
