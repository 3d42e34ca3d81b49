import { assert } from "../../kernel/assert.ts";
import {
  type CheckpointCopy,
  type CheckpointSink,
  type Sender,
  type SenderAnswer,
  WEBHOOK_ANSWER_BYTES_MAX,
  WEBHOOK_ANSWER_MS,
  WITNESS_PROOF_HASHES_MAX,
} from "../contract.ts";

const EVERY_MS = 1_000;
const SIZE_TYPE = "text/x.tlog.size";

/**
 * A witness that checks what it is given (C2SP tlog-witness, add-checkpoint). Cosignatures in its answer are not kept.
 * @param o.name  as in the configuration, without secrets.
 * @param o.url  where to post; a GET of it may answer with the newest note that the witness holds.
 */
export function openWebhookSink(o: { name: string; url: string; sender: Sender }): CheckpointSink {
  const { name, url, sender } = o;
  const bounds = { timeout_ms: WEBHOOK_ANSWER_MS, answer_bytes_max: WEBHOOK_ANSWER_BYTES_MAX };
  return {
    name,
    every_ms: EVERY_MS,
    tells: false,
    async newest(signal) {
      const { status, body } = await sender.send({ method: "GET", url, ...bounds, signal });
      // A witness owes no answer to this: of what it holds it tells when it is given a copy.
      return status === 200 ? new TextDecoder().decode(body) : undefined;
    },
    async publish(copy, signal) {
      const answer = await sender.send({ method: "POST", url, body: addCheckpoint(copy), ...bounds, signal });
      if (answer.status >= 200 && answer.status < 300) return copy.size;
      const held = answer.status === 409 ? sizeIn(answer) : undefined;
      if (held === undefined) throw new Error(refusalOf(answer.status));
      // It holds this very size, and still refuses: with another root.
      if (held === copy.old_size) throw new Error(`the witness holds another tree of size ${held}`);
      return held;
    },
  };
}

/**
 * `old <size>`, the consistency proof in base64, an empty line, the note; each line ends with a newline.
 * @throws an assertion for a proof of more than `WITNESS_PROOF_HASHES_MAX` hashes, or one from size 0.
 */
export function addCheckpoint({ old_size, proof, note }: CheckpointCopy): string {
  assert(proof.length <= WITNESS_PROOF_HASHES_MAX, "a consistency proof has at most 63 hashes");
  assert(old_size > 0 || proof.length === 0, "from nothing there is nothing to prove");
  const lines = proof.map((hash) => Buffer.from(hash).toString("base64"));
  return [`old ${old_size}`, ...lines, "", note].join("\n");
}

/** The size that the witness holds, as it answers to an `old` that is not that. */
function sizeIn({ content_type, body }: SenderAnswer): number | undefined {
  if (content_type.split(";")[0]?.trim().toLowerCase() !== SIZE_TYPE) return undefined;
  const digits = /^(0|[1-9]\d{0,15})\n?$/.exec(new TextDecoder().decode(body))?.[1];
  return digits !== undefined && Number.isSafeInteger(Number(digits)) ? Number(digits) : undefined;
}

function refusalOf(status: number): string {
  const why = {
    403: "it knows no key that signed the checkpoint",
    404: "it does not know this log",
    409: "it holds something else, and does not say what",
    422: "it finds the log inconsistent with what it holds",
  }[status];
  return `the witness refused with status ${status}${why === undefined ? "" : `: ${why}`}`;
}
