/** Answers with what an escape would have found, or with undefined when there was nothing to find. */
export type Attempt = [what: string, how: () => unknown];

const PATIENCE_MS = 400;

/** Runs one attempt. It escaped only if it brought something back; an error or silence is the jail holding. */
export async function attempt(what: string, how: () => unknown) {
  let timer = 0;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), PATIENCE_MS);
  });
  try {
    const found = await Promise.race([(async () => how())(), silence]);
    return { what, escaped: found !== undefined, outcome: found === undefined ? "nothing there" : String(found) };
  } catch (error) {
    return { what, escaped: false, outcome: String(error).slice(0, 120) };
  } finally {
    clearTimeout(timer);
  }
}
