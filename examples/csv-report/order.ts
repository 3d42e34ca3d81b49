import type { Row } from "./csv.ts";

export interface Order {
  id: string;
  /** `YYYY-MM-DD`. */
  date: string;
  region: string;
  customer: string;
  product: string;
  quantity: number;
  /** After discount, rounded half up. */
  total_cents: number;
}

export interface Rejected {
  line: number;
  id: string;
  reason: string;
}

const REGIONS = ["north", "south", "east", "west"];

/** Checks one row. `seen` holds the ids of the orders accepted so far and gains this one's. */
export function readOrder({ line, fields }: Row, seen: Set<string>): Order | Rejected {
  const [id = "", date = "", region = "", customer = "", product = "", quantity = "", price = "", discount = ""] =
    fields;
  const no = (reason: string): Rejected => ({ line, id, reason });

  if (fields.length !== 8) return no(`expected 8 fields, found ${fields.length}`);
  if (seen.has(id)) return no("order_id was seen before");
  if (!isDate(date)) return no(`date does not exist: ${date}`);
  if (!REGIONS.includes(region)) return no(`unknown region: ${region}`);
  if (customer === "") return no("customer is empty");
  if (!/^[1-9]\d*$/.test(quantity)) return no(`quantity is not a positive whole number: ${quantity}`);
  const cents = /^(\d+)\.(\d\d)$/.exec(price);
  if (!cents) return no(`unit_price is not an amount: ${price}`);
  const percent = Number(discount);
  if (!/^\d+$/.test(discount) || percent > 100) return no(`discount_percent is not 0 to 100: ${discount}`);

  seen.add(id);
  const full = Number(quantity) * (Number(cents[1]) * 100 + Number(cents[2]));
  const total_cents = Math.floor((full * (100 - percent) + 50) / 100);
  return { id, date, region, customer, product, quantity: Number(quantity), total_cents };
}

function isDate(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}
