import {
  ACTIONS,
  type Attended,
  CONTRACT_ITEMS_MAX,
  CONTRACT_NUMBERS_MAX,
  EXECUTE_BEFORE_MS_DEFAULT,
  EXECUTE_BEFORE_MS_MAX,
  type GateRule,
  NOT_AFTER_MS_DEFAULT,
  NOT_AFTER_MS_MAX,
  PHASE_METRICS,
  type Phase,
  QUORUM_MAX,
} from "../contract.ts";
import { type Fields, type Form, NAME } from "./fields.ts";

export const GATE_KEYS = ["on", "name", "quorum", "not_after_ms", "execute_before_ms"] as const;
export const ATTENDED_KEYS = ["tz", "days", "from", "to"] as const;
export const PHASE_KEYS = ["n", "until", "rollback_when"] as const;
const ROLLBACK_KEYS = ["metric", "over", "window_ms", "min_runs"] as const;

/** Clocks below this could not be met by a person. */
const CLOCK_MS_MIN = 1_000;
const WINDOW_MS_MIN = 60_000;
/** Ten-thousandths in one. */
const BP = 10_000;

/** A name of the IANA database that this machine knows; offsets, which know no summer, are none. */
const TIME_ZONE: Form = {
  is: (text) => /^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+){0,2}$/.test(text) && text.length <= 64 && isZone(text),
  right: "is a time zone's name, e.g. Europe/Berlin or UTC",
};
const TIME: Form = {
  is: (text) => /^(?:[01]\d|2[0-3]):[0-5]\d$/.test(text),
  right: 'is a time of day from "00:00" to "23:59"',
};
const DATE: Form = {
  is: (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && isDay(text),
  right: "is a day, e.g. 2027-03-01",
};

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false; // Intl has no other way to ask; anything thrown here says that it does not know the zone.
  }
}

/** `Date.parse` takes the 31st of a shorter month for the next month's first. */
function isDay(text: string): boolean {
  const at = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text);
}

/** @returns undefined when the gate lacks what makes it one; its problems are said already. */
export function readGate(fields: Fields<(typeof GATE_KEYS)[number]>): GateRule | undefined {
  fields.demand(["on", "name"]);
  const on = fields.choice("on", ["*", ...ACTIONS] as const);
  const name = fields.text("name", NAME);
  const quorum = fields.integer("quorum", { min: 1, max: QUORUM_MAX });
  const not_after_ms = fields.integer("not_after_ms", { min: CLOCK_MS_MIN, max: NOT_AFTER_MS_MAX });
  const execute_before_ms = fields.integer("execute_before_ms", { min: CLOCK_MS_MIN, max: EXECUTE_BEFORE_MS_MAX });
  if (on === "egress.retry") {
    fields.problem(
      "on",
      "A gate on egress.retry can be passed by nobody: people approve runs, and a retry is one call without a run. Leave the gate out, and on_blocked: dead-letter with it if no stopped call may be sent later; or gate run.submit, and make the call again in a run that people approve.",
    );
  }
  if (on === undefined || name === undefined) return undefined;
  return {
    on,
    name,
    quorum: quorum ?? 1,
    not_after_ms: not_after_ms ?? NOT_AFTER_MS_DEFAULT,
    execute_before_ms: execute_before_ms ?? EXECUTE_BEFORE_MS_DEFAULT,
  };
}

/** Does `gate` ask for at least what `asked` asks for? Names are for people and may change. */
export function covers(gate: GateRule, asked: GateRule): boolean {
  return (
    (gate.on === "*" || gate.on === asked.on) &&
    gate.quorum >= asked.quorum &&
    gate.not_after_ms <= asked.not_after_ms &&
    gate.execute_before_ms <= asked.execute_before_ms
  );
}

export function readAttended(fields: Fields<(typeof ATTENDED_KEYS)[number]>): Attended | undefined {
  fields.demand(ATTENDED_KEYS);
  const tz = fields.text("tz", TIME_ZONE);
  const days = fields.integers("days", { min: 1, max: 7 }, 7, 1);
  const [from, to] = [fields.text("from", TIME), fields.text("to", TIME)];
  if (tz === undefined || days === undefined || from === undefined || to === undefined) return undefined;
  if (to <= from) fields.problem("to", `to is ${to}; it must be later than from, ${from}, on the same day.`);
  return { tz, days, from, to };
}

export function readPhase(fields: Fields<(typeof PHASE_KEYS)[number]>): Phase | undefined {
  fields.demand(["n"]);
  const n = fields.integer("n", { min: 1, max: CONTRACT_NUMBERS_MAX.n });
  const until = fields.text("until", DATE) ?? null;
  const conditions = fields.maps("rollback_when", ROLLBACK_KEYS, CONTRACT_ITEMS_MAX.rollback_when) ?? [];
  const rollback_when = conditions.map(readCondition).filter((condition) => condition !== undefined);
  return n === undefined ? undefined : { n, until, rollback_when };
}

function readCondition(fields: Fields<(typeof ROLLBACK_KEYS)[number]>): Phase["rollback_when"][number] | undefined {
  fields.demand(ROLLBACK_KEYS);
  const { window_ms: window_max, min_runs: runs_max } = CONTRACT_NUMBERS_MAX;
  const metric = fields.choice("metric", PHASE_METRICS);
  const over_bp = readFraction(fields);
  const window_ms = fields.integer("window_ms", { min: WINDOW_MS_MIN, max: window_max });
  const min_runs = fields.integer("min_runs", { min: 1, max: runs_max });
  if (metric === undefined || over_bp === undefined || window_ms === undefined || min_runs === undefined) return;
  return { metric, over_bp, window_ms, min_runs };
}

/** Canonical JSON has whole numbers only, so a fraction becomes ten-thousandths. */
function readFraction(fields: Fields<(typeof ROLLBACK_KEYS)[number]>): number | undefined {
  const value = fields.get("over")?.value;
  if (value === undefined) return undefined;
  if (typeof value === "number" && value >= 0 && value < 1) {
    const over_bp = Math.round(value * BP);
    // Exact only where the text had at most four decimals: 0.05 is read and written as the same number.
    if (over_bp / BP === value) return over_bp + 0;
  }
  fields.problem("over", "over is a fraction from 0 to 0.9999 with at most four decimals, e.g. 0.05.");
  return undefined;
}
