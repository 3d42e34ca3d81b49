import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { EntryId, TenantId } from "../../kernel/ids.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { Lock, PrivateFiles, Storage, Tx } from "../../storage/contract.ts";
import {
  type ActorRef,
  errors,
  type Ledger,
  ORIGIN_CHARS_MAX,
  PENDING_MAX,
  SEAL_LOCK_MS,
  SUCCESSION_NOTE_CHARS_MAX,
  SUCCESSION_QUOTES_MAX,
} from "../contract.ts";
import { LOG_SUCCEEDED, type QuotedCheckpoint } from "../kinds.ts";
import { LATEST_FILE } from "./history.ts";
import { NEXT_KEY_FILE, promoteNext, readKeyFiles, readPublicKeys, signerOf, writePublicKeys } from "./key.ts";
import { checkpointText, type NoteSigner, parseCheckpoint, signNote } from "./note.ts";
import { generateKey } from "./private_key.ts";
import { SealLock } from "./seal_lock.ts";
import { type LogState, readState } from "./sealing.ts";
import { type LogRow, selectKeys, selectLog, selectPending, storedTiles } from "./store.ts";
import { succeedRows } from "./succession_store.ts";
import { growTiles, rootOf } from "./tree.ts";

/** Nobody else writes meanwhile, and as many entries may wait as there may be at all. */
const UNIT = { deadline_ms: 60_000 };
/** How often the lock is looked at while another's time runs out. */
const LOCK_LOOK_MS = 250;
const MARK_BYTES = 4;
const NAME_BYTES = 8;

export interface SuccessionParts {
  storage: Storage;
  files: PrivateFiles;
  clock: Clock;
  random: Random;
  log: Logger;
  /** Without a guard: it is the log that is not to go on. */
  ledger: Ledger;
  /** This process, among those of the database. */
  owner: string;
}

export interface SuccessionAsked {
  /** Whose ledger is told, and who decided it, accountable principal first. */
  tenant: TenantId;
  actor: ActorRef[];
  reason: string;
  /** Notes of the old log that somebody holds, whatever their size; who holds them, in words. */
  seen: readonly { where: string; note: string }[];
  /** Of the new log; default: the old name with another mark. A valid name of a note's key. */
  origin?: string | undefined;
  /** The account of the machine that did it, as far as is known. */
  operator: string;
  /** In the same unit: what others keep of the old log's progress. */
  also?: (tx: Tx) => void;
}

export interface Succeeded {
  old: { origin: string; size: number };
  /** `size`: of its first checkpoint. */
  new: { origin: string; vkey: string; size: number };
  /** `log.succeeded` */
  entry: EntryId;
}

/**
 * Ends the database's log and begins its successor, on a store that no server runs on. The successor has the entries of
 * the old log as they are in the database, by the same indices and in the same tree, so that whoever holds a checkpoint
 * of the old one up to that size finds its root again; it has a name and a key of its own, so that nothing it signs
 * contradicts what the old name has signed. The first thing it says is `log.succeeded`, which quotes what was last
 * signed under the old name. All of it is one unit; the new key is durable before, and takes the old one's place after.
 * @throws EVIDENCE_NOT_SEALED  there is no log. EVIDENCE_FORKED  its tiles are not what was signed: a broken store has no
 *   successor. EVIDENCE_ROTATING  another process seals. EVIDENCE_KEY EVIDENCE_KEY_MODE
 */
export async function succeedLog(parts: SuccessionParts, asked: SuccessionAsked): Promise<Succeeded> {
  const { storage, files, random } = parts;
  const log = await selectLog(storage);
  if (log === undefined) throw new GantryError(errors.NOT_SEALED, { detail: "The log has not begun." });
  const origin = asked.origin ?? successorOf(log.origin, random);
  const { lock, held } = await takeLock(parts, log);
  try {
    const before = (await readKeyFiles(files)).next;
    const pem = generateKey(random);
    await files.replace(NEXT_KEY_FILE, pem);
    const signer = signerOf(origin, pem);
    const done = await storage
      .write((tx) => write(parts, tx, { ...asked, held, signer }), UNIT)
      .catch(async (error: unknown) => {
        // A rotation of the old log goes on as if nothing had been.
        await (before === undefined ? files.remove(NEXT_KEY_FILE) : files.replace(NEXT_KEY_FILE, before));
        throw error;
      });
    await settle(parts, done, pem);
    return done.succeeded;
  } finally {
    await lock.release();
  }
}

/**
 * A copy of a store has the lock of the server that wrote it, for as long as that had it: its time is waited for.
 * @throws EVIDENCE_ROTATING  it goes on beyond that, so that somebody renews it.
 */
async function takeLock(parts: SuccessionParts, { origin, size }: LogRow): Promise<{ lock: SealLock; held: Lock }> {
  const { clock } = parts;
  for (const until = clock.monotonic() + SEAL_LOCK_MS + LOCK_LOOK_MS; ; ) {
    const lock = new SealLock(parts);
    const held = await lock.holds(origin, size);
    if (held !== undefined) return { lock, held };
    if (clock.monotonic() >= until) {
      throw new GantryError(errors.ROTATING, { detail: "A server seals this log. Stop all servers of it first." });
    }
    await new Promise<void>((resolve) => void clock.after(LOCK_LOOK_MS, resolve));
  }
}

interface Written {
  succeeded: Succeeded;
  /** Of the new log's first checkpoint. */
  note: string;
}

async function write(
  { storage, ledger, clock }: SuccessionParts,
  tx: Tx,
  asked: SuccessionAsked & { held: Lock; signer: NoteSigner },
): Promise<Written> {
  const { held, signer, tenant, actor } = asked;
  storage.locks.fence(tx, held);
  const state = await readState(tx);
  assert(state !== undefined, "a log that was there is there");
  const tiles = storedTiles(tx);
  const { log, keys } = state;
  if (!Buffer.from(await rootOf(tiles, log.size)).equals(log.root)) {
    throw new GantryError(errors.FORKED, {
      detail: `The tiles of ${log.size} entries do not give the root that was signed: the store is damaged. Restore a backup that is whole, and begin the successor on that.`,
    });
  }
  const entry = ledger.append(tx, { kind: LOG_SUCCEEDED, tenant, actor, data: quoted(state, asked) });
  const pending = await selectPending(tx, 2 * PENDING_MAX);
  const last = pending.at(-1);
  assert(last !== undefined, "the entry of the succession waits");
  const tree = await growTiles(
    tiles,
    log.size,
    pending.map(({ leaf }) => leaf),
  );
  const { size, root } = tree;
  const note = signNote(checkpointText({ origin: signer.name, size, root }), [signer]);
  asked.also?.(tx);
  succeedRows(tx, {
    origin: signer.name,
    old_origin: log.origin,
    old_key: keys.active,
    new_key: signer.vkey,
    epoch: held.epoch,
    old_size: log.size,
    last_arrival: last.arrival,
    tiles: tree.tiles,
    checkpoint: { size, root, note, at: clock.now() },
    rotated: undefined,
  });
  const old = { origin: log.origin, size: log.size };
  return { succeeded: { old, new: { origin: signer.name, vkey: signer.vkey, size }, entry }, note };
}

/** Of the same size and root, one note says as much as two. */
function quoted(
  { log, newest, keys }: LogState,
  asked: SuccessionAsked & { signer: NoteSigner },
): Record<string, unknown> {
  const seen = asked.seen.flatMap(({ where, note }) => {
    const quote = quoteOf(note);
    return quote === undefined ? [] : [{ where, ...quote }];
  });
  return {
    old: { origin: log.origin, key: keys.active, ...(newest === undefined ? { size: 0 } : sizeAndNote(newest)) },
    new: { origin: asked.signer.name, key: asked.signer.vkey },
    seen: seen.slice(0, SUCCESSION_QUOTES_MAX),
    reason: asked.reason,
    operator: asked.operator,
  };
}

function sizeAndNote({ size, note }: { size: number; note: string }): { size: number; note?: string } {
  return note.length <= SUCCESSION_NOTE_CHARS_MAX ? { size, note } : { size };
}

function quoteOf(note: string): QuotedCheckpoint | undefined {
  const said = parseCheckpoint(note);
  if (said === undefined) return undefined;
  const { origin, size, root } = said;
  const whole = note.length <= SUCCESSION_NOTE_CHARS_MAX ? { note } : {};
  return { origin, size, root: Buffer.from(root).toString("base64"), ...whole };
}

/** What a crash leaves of this, the next start does: the database says which key signs. */
async function settle({ storage, files }: SuccessionParts, { succeeded, note }: Written, pem: string): Promise<void> {
  await promoteNext(files, pem);
  const { keys } = await selectKeys(storage);
  const vkeys = keys.map(({ vkey }) => vkey);
  const known = await readPublicKeys(files, [succeeded.old.origin]);
  await writePublicKeys(files, [...known.filter((vkey) => !vkeys.includes(vkey)), ...vkeys]);
  await files.replace(LATEST_FILE, note);
}

/** The old name with a mark of chance behind it: two successors of one log are two logs. */
function successorOf(origin: string, random: Random): string {
  const fresh = (bytes: number): string => Buffer.from(random.bytes(bytes)).toString("hex");
  if (/^gantry-[0-9a-f]{16}$/.test(origin)) return `gantry-${fresh(NAME_BYTES)}`;
  const name = `${origin.replace(/~[0-9a-f]{8}$/, "")}~${fresh(MARK_BYTES)}`;
  return name.length <= ORIGIN_CHARS_MAX ? name : `gantry-${fresh(NAME_BYTES)}`;
}
