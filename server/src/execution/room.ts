import { HUNGRY_MS_MAX, SESSION_RUNNERS_TENANT_MAX } from "./contract.ts";
import type { Bound, Group } from "./group.ts";

/** Who may hold how many of the node's keyed runners, and who gives one up for whom. */
export class Room {
  readonly #bound_max: number;
  readonly #groups: ReadonlyMap<string, Group>;
  readonly #bound: ReadonlySet<Bound>;

  constructor(bound_max: number, groups: ReadonlyMap<string, Group>, bound: ReadonlySet<Bound>) {
    this.#bound_max = bound_max;
    this.#groups = groups;
    this.#bound = bound;
  }

  isFree(): boolean {
    let ordered = 0;
    for (const group of this.#groups.values()) ordered += group.ordered.size;
    return this.#bound.size + ordered < this.#bound_max;
  }

  /**
   * Whose place one more runner of the group would take: nobody's (undefined), or that of the runner idle longest, of the
   * tenant itself where it holds all the sessions it may, else of the tenant that holds most. `none`: all have a run.
   */
  victimFor(group: Group): Bound | "none" | undefined {
    if (this.#isSessionFull(group)) {
      return this.#oldest(({ want }) => want.kind === "session" && want.tenant === group.want.tenant) ?? "none";
    }
    if (this.#isPast(group)) return "none";
    if (this.isFree()) return undefined;
    const held = new Map<string, number>();
    let most = 0;
    for (const { group: each } of this.#bound) held.set(each.want.tenant, (held.get(each.want.tenant) ?? 0) + 1);
    for (const { group: each, idle_since } of this.#bound) {
      if (idle_since !== null) most = Math.max(most, held.get(each.want.tenant) ?? 0);
    }
    return this.#oldest(({ want }) => held.get(want.tenant) === most) ?? "none";
  }

  /**
   * Must the group give up the runner that has just ended a run, because a key that holds less than an equal share waits
   * for room? It must when it holds more than its own share, and in any case when that key holds none and has waited for
   * `HUNGRY_MS_MAX`. Keys that hold their share wait for their own runners: processes that went round would only be
   * booted and killed. A group with nobody waiting keeps it: as an idle one it is there to be taken.
   */
  owes(group: Group, now: number): boolean {
    if (group.waiters.length === 0) return false;
    const share = this.#share();
    return [...this.#groups.values()].some((each) => {
      if (each.hungry_since === null || each === group || holds(each) >= share) return false;
      if (this.#isSessionFull(each) && !isSessionOf(group, each.want.tenant)) return false;
      return group.bound > share || (holds(each) === 0 && now - each.hungry_since >= HUNGRY_MS_MAX);
    });
  }

  /** Does it hold its share already, while another that waits holds less? */
  #isPast(group: Group): boolean {
    const share = this.#share();
    if (holds(group) < share) return false;
    return [...this.#groups.values()].some(
      (each) => each.hungry_since !== null && each !== group && holds(each) < share,
    );
  }

  /** What each key gets when all that want runners get the same. */
  #share(): number {
    let wanting = 0;
    for (const each of this.#groups.values()) if (holds(each) > 0 || each.hungry_since !== null) wanting += 1;
    return Math.max(1, Math.floor(this.#bound_max / Math.max(1, wanting)));
  }

  #isSessionFull({ want }: Group): boolean {
    if (want.kind !== "session") return false;
    let count = 0;
    for (const each of this.#groups.values())
      if (isSessionOf(each, want.tenant)) count += each.bound + each.ordered.size;
    return count >= SESSION_RUNNERS_TENANT_MAX;
  }

  #oldest(may: (group: Group) => boolean): Bound | undefined {
    let oldest: Bound | undefined;
    let since = Number.POSITIVE_INFINITY;
    for (const bound of this.#bound) {
      if (bound.idle_since === null || bound.idle_since >= since || !may(bound.group)) continue;
      oldest = bound;
      since = bound.idle_since;
    }
    return oldest;
  }
}

function holds({ bound, ordered }: Group): number {
  return bound + ordered.size;
}

function isSessionOf({ want }: Group, tenant: string): boolean {
  return want.kind === "session" && want.tenant === tenant;
}
