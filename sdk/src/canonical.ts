/** Objects inside each other; a statement is flat. */
const DEPTH_MAX = 32;

/**
 * RFC 8785 for values with integers only, which is all that Gantry hashes.
 * @throws TypeError for others: then there is nothing that a hash could be of.
 */
export function canonicalJson(value: unknown, depth = 0): string {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new TypeError("a number is not an integer");
  if (depth > DEPTH_MAX) throw new TypeError("the value nests too deep");
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = value as Record<string, unknown>;
  // `sort` compares UTF-16 code units, as RFC 8785, 3.2.3 asks.
  const texts = Object.keys(members)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(members[name], depth + 1)}`);
  return `{${texts.join(",")}}`;
}

/** SHA-256 of the canonical JSON, hex. */
export async function canonicalHash(value: unknown): Promise<string> {
  const bytes = new TextEncoder().encode(canonicalJson(value));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
