import { z } from "zod";
import type { NameRecord } from "./names_forms.ts";

/** As `node:dns` gives them. What a server sends is not ours: a record that is none of these is left out. */
const txt = z.array(z.string());
const mx = z.object({ exchange: z.string(), priority: z.int().min(0).max(0xffff) });
const srv = z.object({ name: z.string(), port: z.int(), priority: z.int(), weight: z.int() });

/** Texts are quoted one by one in the JSON form, as the resolvers that workerd knows do it. */
export function txtRecord(record: unknown): NameRecord | undefined {
  const read = txt.safeParse(record);
  if (!read.success) return undefined;
  return { data: { type: "TXT", name: "", data: read.data }, text: read.data.map((text) => `"${text}"`).join("") };
}

export function mxRecord(record: unknown): NameRecord | undefined {
  const read = mx.safeParse(record);
  if (!read.success) return undefined;
  const { exchange, priority: preference } = read.data;
  return { data: { type: "MX", name: "", data: { preference, exchange } }, text: `${preference} ${exchange}.` };
}

/** Without the last dot, which workerd would pass on to the guest. */
export function srvRecord(record: unknown): NameRecord | undefined {
  const read = srv.safeParse(record);
  if (!read.success) return undefined;
  const { name: target, port, priority, weight } = read.data;
  const text = `${priority} ${weight} ${port} ${target}`;
  return { data: { type: "SRV", name: "", data: { target, port, priority, weight } }, text };
}
