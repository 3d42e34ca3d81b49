/**
 * The texts that stand for a secret wherever it is encoded as a part of something longer: what comes before and after it
 * changes neither of them.
 * @returns copies, each different from the others.
 */
export function encodedForms(secret: Buffer): Buffer[] {
  const hex = secret.toString("hex");
  const texts = new Set([hex, hex.toUpperCase()]);
  for (const shift of [0, 1, 2]) {
    const text = base64Inside(secret, shift);
    texts.add(text);
    texts.add(text.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return [...texts].map((text) => Buffer.from(text, "latin1"));
}

/**
 * Base64 (RFC 4648, 4) cuts bytes into groups of three. The characters that hold bits of the secret alone are the same
 * wherever it begins at the same place of a group.
 * @param shift  bytes of the group before it.
 */
function base64Inside(secret: Buffer, shift: number): string {
  const padded = Buffer.concat([Buffer.alloc(shift), secret]);
  const text = padded.toString("base64").slice(Math.ceil((shift * 8) / 6), Math.floor((padded.length * 8) / 6));
  padded.fill(0);
  return text;
}
