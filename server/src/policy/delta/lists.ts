import type { DeltaLine } from "../shape.ts";

/** Items of lists and their places in the contract, as lines of a delta. */
interface Items<T> {
  /** JSON pointer of the list. */
  at: string;
  before: readonly T[];
  after: readonly T[];
  /** How a person reads one. */
  say(item: T): string;
}

/**
 * What is granted: an item that nothing of before contains loosens, one that is gone tightens.
 * @param contains  proved: whatever `narrow` grants, `wide` grants.
 */
export function grants<T>(o: Items<T>, contains: (wide: T, narrow: T) => boolean): DeltaLine[] {
  const lines: DeltaLine[] = [];
  const same = (a: T) => (b: T) => contains(a, b) && contains(b, a);
  for (const [i, item] of o.after.entries()) {
    if (o.before.some(same(item))) continue;
    const at = `${o.at}/${i}`;
    if (o.before.some((wide) => contains(wide, item))) {
      lines.push({ at, change: "narrowed", loosens: false, text: `narrowed to ${o.say(item)}` });
    } else if (o.before.some((narrow) => contains(item, narrow))) {
      lines.push({ at, change: "widened", loosens: true, text: `widened to ${o.say(item)}` });
    } else {
      lines.push({ at, change: "added", loosens: true, text: `grants ${o.say(item)}` });
    }
  }
  for (const item of o.before) {
    if (o.after.some((wide) => contains(wide, item) || contains(item, wide))) continue;
    lines.push({ at: o.at, change: "removed", loosens: false, text: `no longer grants ${o.say(item)}` });
  }
  return lines;
}

/**
 * What is demanded: an item of before that nothing of after is as strict as loosens, a further one tightens.
 * @param implies  proved: whatever satisfies `strict`, satisfies `loose`.
 */
export function demands<T>(o: Items<T>, implies: (strict: T, loose: T) => boolean): DeltaLine[] {
  const lines: DeltaLine[] = [];
  for (const item of o.before) {
    if (o.after.some((strict) => implies(strict, item))) continue;
    lines.push({ at: o.at, change: "removed", loosens: true, text: `no longer demands ${o.say(item)}` });
  }
  for (const [i, item] of o.after.entries()) {
    if (o.before.some((strict) => implies(strict, item))) continue;
    lines.push({ at: `${o.at}/${i}`, change: "added", loosens: false, text: `demands ${o.say(item)}` });
  }
  return lines;
}

/** A value on a scale: towards its end tightens. */
export function onScale<T extends string>(at: string, scale: readonly T[], before: T, after: T): DeltaLine[] {
  return changed(at, before, after, scale.indexOf(after) >= scale.indexOf(before));
}

/** A number that may only fall; absent: unbounded. */
export function atMost(at: string, before: number | undefined, after: number | undefined): DeltaLine[] {
  const tightens = before === undefined || (after !== undefined && after <= before);
  return changed(at, before ?? "unbounded", after ?? "unbounded", tightens);
}

/** One value for another; no line when they are the same. */
export function changed(
  at: string,
  before: string | number | boolean,
  after: string | number | boolean,
  tightens: boolean,
): DeltaLine[] {
  if (before === after) return [];
  return [{ at, change: tightens ? "narrowed" : "widened", loosens: !tightens, text: `${before} becomes ${after}` }];
}
