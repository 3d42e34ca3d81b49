import type { Random } from "../../kernel/random.ts";
import { EFFECT_BODY_BYTES_MAX } from "../contract.ts";
import type { HeaderList } from "../parts.ts";
import { seal, unseal } from "./seal.ts";

/** Line feed: JSON text has none. */
const END = 0x0a;

/** An answer as it can be given again. */
export interface Answer {
  headers: HeaderList;
  body: Buffer;
}

/** What belongs to one effect. */
interface Of {
  scope: string;
  key: string;
}

/** @returns null: the body has more than `EFFECT_BODY_BYTES_MAX`. */
export function sealAnswer(key: Uint8Array, random: Random, of: Of, { headers, body }: Answer): Uint8Array | null {
  if (body.byteLength > EFFECT_BODY_BYTES_MAX) return null;
  const head = Buffer.from(JSON.stringify(headers), "utf8");
  return seal(key, random, nameOf(of), Buffer.concat([head, Buffer.from([END]), body]));
}

/** @throws Error  it was sealed with another key. */
export function openAnswer(key: Uint8Array, of: Of, sealed: Uint8Array): Answer {
  const bytes = unseal(key, nameOf(of), sealed);
  const end = bytes.indexOf(END);
  const headers = JSON.parse(bytes.subarray(0, end).toString("utf8")) as HeaderList;
  return { headers, body: bytes.subarray(end + 1) };
}

function nameOf({ scope, key }: Of): string {
  return `answer/${scope}/${key}`;
}
