import { assert } from "../../kernel/assert.ts";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { ROWS_MAX, type Storage } from "../../storage/contract.ts";
import {
  type Asker,
  type BundleOpening,
  ENTRY_PRIVATE_MAX,
  ENTRY_REFS_MAX,
  type EntryDraft,
  errors,
  type Ledger,
  type OpenedField,
  type OpenFields,
  type PrivateValues,
} from "../contract.ts";
import { type EntryBody, readBody } from "../entry.ts";
import { commitField } from "./commitment.ts";
import { type FieldRow, selectField, selectFields } from "./store.ts";

/** What is wrong with the question is the caller's to hear; anything else kept the opening from being recorded. */
const ANSWERS: readonly string[] = [errors.UNKNOWN.code, errors.ERASED.code, errors.NOT_KEPT.code];

/** Shows private values, and records each time who asked for what, before anything is shown. */
export class RecordedOpening implements PrivateValues {
  readonly #storage: Storage;
  readonly #ledger: Ledger;

  constructor({ storage, ledger }: { storage: Storage; ledger: Ledger }) {
    this.#storage = storage;
    this.#ledger = ledger;
  }

  /** Read and recorded in one unit, so that a value which is erased at the same time is either shown before or not at all. */
  open(entry: string, field: string, who: Asker): Promise<OpenedField> {
    return recorded(() =>
      this.#storage.write(async (tx) => {
        const { body, opened } = judge(await selectField(tx, entry, field, who.tenant), field);
        const refs = [body.id, ...body.refs].slice(0, ENTRY_REFS_MAX);
        this.#ledger.append(tx, openedEntry(who, refs, { entry: body.id, field }));
        return opened;
      }),
    );
  }

  async openBundle({ fields, entries, refs, range }: BundleOpening, who: Asker): Promise<OpenFields> {
    const names = [...new Set(fields)];
    assert(names.length >= 1 && names.length <= ENTRY_PRIVATE_MAX, "a bundle opens 1 to 32 fields");
    const data = { fields: names, entries, ...(range === undefined ? {} : { range }) };
    const found_under = [...new Set(refs)].slice(0, ENTRY_REFS_MAX);
    await recorded(() =>
      this.#storage.write((tx) => {
        this.#ledger.append(tx, openedEntry(who, found_under, data));
      }),
    );
    return (page) => this.#read(page, names, who);
  }

  async #read(page: readonly string[], fields: readonly string[], who: Asker) {
    const opened = new Map<string, Record<string, OpenedField>>();
    const step = Math.floor(ROWS_MAX / fields.length);
    for (let from = 0; from < page.length; from += step) {
      const rows = await selectFields(this.#storage, page.slice(from, from + step), fields, who.tenant);
      for (const { entry, field, key, value } of rows) {
        if (key === null || value === null) continue;
        opened.set(entry, { ...opened.get(entry), [field]: { key, value } });
      }
    }
    return opened;
  }
}

function judge(found: FieldRow | undefined, field: string): { body: EntryBody; opened: OpenedField } {
  if (found === undefined) throw new GantryError(errors.UNKNOWN, { detail: "No entry of this tenant has this id." });
  const body = readBody(found.body);
  const names = Object.keys(body.sealed ?? {});
  const { row } = found;
  if (row === undefined || !names.includes(field)) {
    const has = names.length === 0 ? "It has none." : `It has ${names.join(", ")}.`;
    throw new GantryError(errors.UNKNOWN, { detail: `The entry has no private field ${field}. ${has}` });
  }
  const { key, value } = row;
  if (key === null) {
    throw new GantryError(errors.ERASED, {
      detail: `The value of ${field} was erased; the entry and its proofs stand without it.`,
    });
  }
  if (value === null) {
    throw new GantryError(errors.NOT_KEPT, {
      detail: `The contract of the time dropped ${field}: only a commitment to it was recorded.`,
    });
  }
  const commitment = commitField(key, body.id, field, value);
  assert(commitment === body.sealed?.[field], `the stored ${field} of entry ${body.id} is the one that it commits to`);
  return { body, opened: { key, value } };
}

function openedEntry({ tenant, chain }: Asker, refs: string[], data: EntryDraft["data"]): EntryDraft {
  return {
    kind: "evidence.opened",
    tenant,
    actor: chain.map(({ actor, kind }) => ({ actor, kind })),
    refs,
    data,
  };
}

async function recorded<T>(unit: () => Promise<T>): Promise<T> {
  try {
    return await unit();
  } catch (cause) {
    // A broken assertion is no fault of the store: it goes on as the bug that it is.
    if (!isGantryError(cause) || ANSWERS.includes(cause.code)) throw cause;
    throw new GantryError(errors.UNAVAILABLE, {
      detail: "The opening could not be recorded, so nothing is shown.",
      reasons: [{ code: cause.code, detail: cause.kind.title }],
      cause,
    });
  }
}
