import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { usage } from "./failure.ts";
import { reasonOf } from "./input.ts";
import type { Terminal } from "./terminal.ts";

/** The flag of every command that can leave a file. */
export const out_arg = {
  output: { type: "string", alias: "o", valueHint: "FILE", description: "write to this file instead of the terminal" },
} as const;

/**
 * Writes a file beside its place and puts it there when it is whole: at no moment is there a half one, and what was
 * there before stays until then. A file that cannot be finished leaves nothing.
 * @param mode  of the new file, narrowed by the umask.
 * @returns how many bytes.
 * @throws Failure exit 2 when the file cannot be written; whatever `chunks` throws.
 */
export async function writeOut(
  file: string,
  chunks: AsyncIterable<string | Uint8Array>,
  io: Pick<Terminal, "cwd">,
  mode = 0o666,
): Promise<number> {
  const path = resolve(io.cwd, file);
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  const shown = relative(io.cwd, path) || path;
  const handle = await ours(shown, open(temporary, "wx", mode));
  let bytes = 0;
  try {
    try {
      for await (const chunk of chunks) {
        const part = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
        await ours(shown, handle.writeFile(part));
        bytes += part.byteLength;
      }
      await ours(shown, handle.sync());
    } finally {
      await handle.close();
    }
    await ours(shown, rename(temporary, path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return bytes;
}

/** A text that is all there: to the file, or to the terminal when none was named. */
export async function putText(
  file: string | undefined,
  text: string,
  io: Pick<Terminal, "cwd" | "stdout">,
): Promise<void> {
  if (file === undefined) {
    io.stdout.write(text);
    return;
  }
  await writeOut(
    file,
    (async function* () {
      yield text;
    })(),
    io,
  );
}

/**
 * Files that are none yet, each whole or not at all.
 * @throws Failure exit 2 when one of them exists already, or cannot be written; those that were written are removed again.
 */
export async function putNew(
  files: readonly { file: string; text: string }[],
  io: Pick<Terminal, "cwd">,
): Promise<void> {
  const done: string[] = [];
  try {
    for (const { file, text } of files) {
      const path = resolve(io.cwd, file);
      const handle = await ours(file, open(path, "wx"));
      done.push(path);
      await ours(
        file,
        handle.writeFile(text).finally(() => handle.close()),
      );
    }
  } catch (error) {
    for (const path of done) await rm(path, { force: true });
    throw error;
  }
}

async function ours<T>(shown: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw usage(`${shown} cannot be written: ${reasonOf(error)}.`);
  }
}
