import { assert } from "../kernel/assert.ts";
import { DEBT_MS_MAX, type Lane, QUANTUM_MS } from "./contract.ts";
import type { Costed, Costs } from "./costs.ts";
import { Heap, type Heaped } from "./heap.ts";
import { Line } from "./line.ts";

/** A run that wants a slot. Its identity is the object. */
export interface Ticket extends Costed {
  readonly run: string;
  readonly tenant: string;
  /** `downgrade` may change it while the ticket is placed. */
  lane: Lane;
  readonly memory_mb: number;
}

/** One tenant in one lane, while it waits for something or has something running that was charged to it. */
interface Account extends Heaped {
  readonly tenant: string;
  readonly line: Line<Ticket>;
  /** How many wait of each code, with one of them and what each will cost. */
  readonly codes: Map<string, { one: Ticket; count: number; cost: number }>;
  /** What all that waits will cost; when `is_stale`, by what was known before the last run ended. */
  run_ms: number;
  is_stale: boolean;
  /** Run-ms that it may use, as of round `round`. */
  deficit: number;
  round: number;
  /** Cost of its head, as it was guessed when the turn was set. */
  cost: number;
  /** When its head may start: the round, and among the tenants of a round the order. */
  turn_round: number;
  turn_order: number;
  /** Its runs that were charged and go on. */
  charged: number;
}

/** What waits of one tenant. */
export interface Backlog {
  tenant: string;
  count: number;
  /** Guessed slot time of all of it. */
  run_ms: number;
}

/**
 * Deficit round robin over the tenants of one lane (Shreedhar and Varghese, 1995): each round gives every tenant that
 * waits `QUANTUM_MS` of run time, and its first run starts in the round in which that is enough for it. What a run will
 * take is only guessed when it starts, so the guess is charged and the difference settled when it ends. Rounds in which
 * nobody could start are skipped: tenants stand in a heap by the round of their turn, so that nothing is walked over.
 */
export class RoundRobin {
  readonly #costs: Costs;
  /** May this tenant have another slot? */
  readonly #may: (tenant: string) => boolean;
  readonly #accounts = new Map<string, Account>();
  /** Tenants that wait and may have a slot. */
  readonly #turns = new Heap<Account>(isEarlier);
  readonly #charges = new Map<Ticket, number>();
  #round = 0;
  #order = 0;
  #size = 0;

  constructor(costs: Costs, may: (tenant: string) => boolean) {
    this.#costs = costs;
    this.#may = may;
  }

  /** Tickets that wait. */
  get size(): number {
    return this.#size;
  }

  /** Tickets of the tenant that wait. */
  sizeOf(tenant: string): number {
    return this.#accounts.get(tenant)?.line.size ?? 0;
  }

  /** The ticket whose turn it is; undefined when nobody waits who may have a slot. */
  get next(): Ticket | undefined {
    return this.#turns.top?.line.head;
  }

  push(ticket: Ticket): void {
    const account = this.#accountOf(ticket.tenant);
    const is_first = account.line.size === 0;
    if (is_first) account.deficit = this.#deficitNow(account);
    account.line.push(ticket);
    this.#count(account, ticket, 1);
    if (!is_first) return;
    account.round = this.#round;
    account.turn_round = -1; // whatever turn it had before has passed
    this.#setTurn(account);
    this.refresh(ticket.tenant);
  }

  /** Takes `next`, and charges its tenant with what it will probably use. */
  take(): Ticket {
    const account = this.#turns.top;
    const ticket = account?.line.head;
    assert(account !== undefined && ticket !== undefined, "only who waits has a turn");
    this.#round = Math.max(this.#round, account.turn_round);
    account.deficit += QUANTUM_MS * (account.turn_round - account.round) - account.cost;
    account.round = this.#round;
    account.charged += 1;
    this.#charges.set(ticket, account.cost);
    account.line.remove(ticket);
    this.#count(account, ticket, -1);
    this.#next(account);
    return ticket;
  }

  /** Takes a ticket out that gives up. @returns whether it waited. */
  remove(ticket: Ticket): boolean {
    const account = this.#accounts.get(ticket.tenant);
    if (account === undefined) return false;
    const was_head = account.line.head === ticket;
    if (!account.line.remove(ticket)) return false;
    this.#count(account, ticket, -1);
    if (was_head) this.#next(account);
    return true;
  }

  /** A ticket that was taken has had its slot for so long. One that never waited was charged to nobody. */
  settle(ticket: Ticket, slot_ms: number): void {
    const charge = this.#charges.get(ticket);
    const account = this.#accounts.get(ticket.tenant);
    if (charge === undefined || account === undefined) return;
    this.#charges.delete(ticket);
    account.charged -= 1;
    account.deficit = Math.max(-DEBT_MS_MAX, account.deficit + charge - slot_ms);
    if (account.line.size > 0) this.#setTurn(account);
    else this.#rest(account);
  }

  /** A run of the tenant's has ended, so that it is known better what those that wait will cost. */
  learned(tenant: string): void {
    const account = this.#accounts.get(tenant);
    if (account !== undefined) account.is_stale = true;
  }

  /** The tenant may have a slot, or may not any more. Its turn is kept for it, but rounds that it missed give nothing. */
  refresh(tenant: string): void {
    const account = this.#accounts.get(tenant);
    if (account === undefined) return;
    if (account.line.size > 0 && this.#may(tenant)) this.#turns.put(account);
    else this.#turns.drop(account);
  }

  refreshAll(): void {
    for (const tenant of this.#accounts.keys()) this.refresh(tenant);
  }

  /** What waits, by tenant. Walks over the tenants, and over the codes of those who had a run end since the last walk. */
  *backlogs(): IterableIterator<Backlog> {
    for (const account of this.#accounts.values()) if (account.line.size > 0) yield this.#backlog(account);
  }

  /** What waits of the tenant. */
  backlogOf(tenant: string): Backlog {
    const account = this.#accounts.get(tenant);
    return account === undefined ? { tenant, count: 0, run_ms: 0 } : this.#backlog(account);
  }

  /** How many of the tenant's own wait before the ticket, and for how much run time; undefined when it does not wait. */
  before(ticket: Ticket): { count: number; run_ms: number } | undefined {
    const account = this.#accounts.get(ticket.tenant);
    if (account === undefined || !account.line.has(ticket)) return undefined;
    let count = 0;
    let run_ms = 0;
    for (const each of account.line) {
      if (each === ticket) break;
      count += 1;
      run_ms += this.#costs.of(each);
    }
    return { count, run_ms };
  }

  /** For tests of the rule itself. @returns the tenant's deficit now; undefined when it has no account. */
  deficitOf(tenant: string): number | undefined {
    const account = this.#accounts.get(tenant);
    return account === undefined ? undefined : this.#deficitNow(account);
  }

  #accountOf(tenant: string): Account {
    const found = this.#accounts.get(tenant);
    if (found !== undefined) return found;
    const account: Account = {
      index: -1,
      tenant,
      line: new Line(),
      codes: new Map(),
      run_ms: 0,
      is_stale: false,
      deficit: 0,
      round: this.#round,
      cost: 0,
      turn_round: 0,
      turn_order: 0,
      charged: 0,
    };
    this.#accounts.set(tenant, account);
    return account;
  }

  /** Rounds pay what is owed, and give nothing to who does not wait. */
  #deficitNow({ deficit, round, line }: Account): number {
    const now = deficit + QUANTUM_MS * (this.#round - round);
    return line.size > 0 ? now : Math.min(0, now);
  }

  #backlog(account: Account): Backlog {
    if (account.is_stale) {
      account.is_stale = false;
      account.run_ms = 0;
      for (const each of account.codes.values()) {
        each.cost = this.#costs.of(each.one);
        account.run_ms += each.count * each.cost;
      }
    }
    return { tenant: account.tenant, count: account.line.size, run_ms: account.run_ms };
  }

  #count(account: Account, ticket: Ticket, by: 1 | -1): void {
    this.#size += by;
    const { codes } = account;
    const key = `${ticket.code} ${ticket.contract}`;
    const same = codes.get(key) ?? { one: ticket, count: 0, cost: this.#costs.of(ticket) };
    same.count += by;
    account.run_ms += by * same.cost;
    if (same.count > 0) codes.set(key, same);
    else codes.delete(key);
  }

  /** The head has left: the next one's turn, or none. */
  #next(account: Account): void {
    if (account.line.size === 0) this.#rest(account);
    else {
      this.#setTurn(account);
      this.refresh(account.tenant);
    }
  }

  #rest(account: Account): void {
    this.#turns.drop(account);
    if (account.charged === 0) this.#accounts.delete(account.tenant);
  }

  /** In the round that it has run time enough for its head. Who still has enough goes on in this one. */
  #setTurn(account: Account): void {
    const { head } = account.line;
    assert(head !== undefined, "who has a turn waits");
    account.cost = this.#costs.of(head);
    const rounds = Math.max(0, Math.ceil((account.cost - account.deficit) / QUANTUM_MS));
    const due = account.round + rounds;
    // Who is kept from slots by its own cap gains nothing from the rounds meanwhile.
    const turn = account.index < 0 ? due : Math.max(this.#round, due);
    if (turn !== account.turn_round) {
      account.turn_round = turn;
      this.#order += 1;
      account.turn_order = this.#order;
    }
    if (account.index >= 0) this.#turns.put(account);
  }
}

function isEarlier(a: Account, b: Account): boolean {
  return a.turn_round < b.turn_round || (a.turn_round === b.turn_round && a.turn_order < b.turn_order);
}
