import type { PrivateFiles } from "../../storage/contract.ts";
import { promoteNext, readKeyFiles, signerOf, writePublicKeys } from "./key.ts";
import type { NoteSigner } from "./note.ts";
import type { KeyRows } from "./store.ts";

/**
 * The keys that this process can sign with. Which of them is the log's says the database; the files only hold them, and
 * after a crash in the midst of a rotation they are brought in line with it.
 */
export class LogKeyring {
  readonly #files: PrivateFiles;
  readonly #origin: string;
  #signers = new Map<string, NoteSigner>();
  /** What `log.pub` says; it never forgets a key. */
  readonly #published: string[];

  /** @param published  the verifier keys of this log that `log.pub` has. */
  constructor(files: PrivateFiles, origin: string, published: readonly string[]) {
    this.#files = files;
    this.#origin = origin;
    this.#published = [...published];
  }

  /** @returns undefined when this process does not have the key. */
  signer(vkey: string): NoteSigner | undefined {
    return this.#signers.get(vkey);
  }

  /**
   * Reads the files, and ends what a crash has left: a successor that signs already takes the key's place. One that was
   * never announced signs nothing, and is overwritten by the next rotation.
   * @throws EVIDENCE_KEY EVIDENCE_KEY_MODE
   */
  async settle(rows: KeyRows): Promise<void> {
    const { current, next } = await readKeyFiles(this.#files);
    const signers = [current, next].flatMap((pem) => (pem === undefined ? [] : signerOf(this.#origin, pem)));
    this.#signers = new Map(signers.map((signer) => [signer.vkey, signer]));
    if (next !== undefined && signers.at(-1)?.vkey === rows.active) await promoteNext(this.#files, next);
    await this.#publish(rows);
  }

  /** Adds what the public copy lacks: a restored database may know fewer keys. */
  async #publish({ keys, announced }: KeyRows): Promise<void> {
    const vkeys = keys.map(({ vkey }) => vkey).concat(announced ?? []);
    const lacking = vkeys.filter((vkey) => !this.#published.includes(vkey));
    if (lacking.length === 0) return;
    await writePublicKeys(this.#files, [...this.#published, ...lacking]);
    this.#published.push(...lacking);
  }
}
