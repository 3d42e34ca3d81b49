import type { EntryId } from "../../kernel/ids.ts";
import { maskText } from "../../kernel/mask.ts";
import type { Random } from "../../kernel/random.ts";
import {
  ENTRY_PRIVATE_MAX,
  type EntryDraft,
  FIELD_NAME,
  PRIVATE_INLINE_BYTES,
  type PrivateClass,
  type PrivateField,
  type PrivateState,
  type Redaction,
} from "../contract.ts";
import { badEntry } from "../entry.ts";
import { commitField, FIELD_KEY_BYTES } from "./commitment.ts";

/** Stands at the end of a masked text that masking has made longer than a value may be. */
const CUT = "[masked:cut]";
/** Stands for bytes that are no text: what cannot be read cannot be masked. */
const BYTES = "[masked:bytes]";

const STATES = { keep: "kept", mask: "masked", drop: "dropped" } as const satisfies Record<Redaction, PrivateState>;

/** A private field as it is stored beside its entry. */
export interface SealedField {
  entry: EntryId;
  field: string;
  class: PrivateClass;
  state: PrivateState;
  /** 32 bytes. */
  key: Uint8Array;
  /** Null when it was dropped. */
  value: Uint8Array | null;
  /** What the entry's body says of it. */
  commitment: string;
}

/**
 * Seals the private fields of a draft, each under a fresh key. What is committed to is what is stored: under `mask` the
 * masked text, and nobody ever learns from the commitment what stood behind it. Under `drop` the value is committed to
 * and forgotten; who has it elsewhere can show with the key that it is the one.
 * @throws EVIDENCE_BAD_ENTRY  too many fields, a bad name, a value that is too long, or text with a lone surrogate.
 */
export function sealFields(draft: EntryDraft, entry: EntryId, random: Random): SealedField[] {
  const given = Object.entries(draft.private ?? {});
  if (given.length > ENTRY_PRIVATE_MAX) throw badEntry(draft, `more than ${ENTRY_PRIVATE_MAX} private fields`);
  return given.map(([field, what]) => {
    if (!FIELD_NAME.test(field)) throw badEntry(draft, "a private field has 1 to 32 of a-z and _, a letter first");
    const value = storedBytes(draft, what);
    const key = random.bytes(FIELD_KEY_BYTES);
    const commitment = commitField(key, entry, field, value);
    const is_dropped = what.redaction === "drop";
    const state = STATES[what.redaction];
    return { entry, field, class: what.class, state, key, value: is_dropped ? null : value, commitment };
  });
}

/** What the body says of them, by name. */
export function commitmentsOf(fields: readonly SealedField[]): Record<string, string> {
  return Object.fromEntries(fields.map(({ field, commitment }) => [field, commitment]));
}

function storedBytes(draft: EntryDraft, { value, redaction }: PrivateField): Uint8Array {
  if (typeof value === "string" && !value.isWellFormed()) throw badEntry(draft, "a private text has a lone surrogate");
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  if (bytes.byteLength > PRIVATE_INLINE_BYTES) {
    throw badEntry(draft, `a private value has ${bytes.byteLength} bytes, ${PRIVATE_INLINE_BYTES} are allowed`);
  }
  if (redaction !== "mask") return bytes;
  const text = typeof value === "string" ? value : textOf(value);
  return bounded(text === undefined ? BYTES : maskText(text));
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    // Without `ignoreBOM` the decoder would drop three bytes of some texts.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined; // no text: said by the answer
  }
}

/** A mark may be longer than what it stands for, so that many of them can make a text longer than it may be. */
function bounded(text: string): Uint8Array {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.byteLength <= PRIVATE_INLINE_BYTES) return bytes;
  let end = PRIVATE_INLINE_BYTES - CUT.length;
  // Not inside a character: its further bytes are 10xxxxxx.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return Buffer.concat([bytes.subarray(0, end), Buffer.from(CUT)]);
}
