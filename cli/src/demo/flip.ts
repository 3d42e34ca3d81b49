/**
 * A copy of a bundle in which one bit is another: in the middle of the body of one entry.
 * @param line  the entry's line in the bundle, from 1; the header is line 1.
 * @throws Error when the line is no entry.
 */
export function flipOneByte(bundle: Buffer, line: number): { copy: Buffer; at: number } {
  const lines = bundle.toString("latin1").split("\n");
  const text = lines[line - 1] ?? "";
  const leaf = /"leaf":"([A-Za-z0-9+/]{8,})/.exec(text)?.[1];
  if (leaf === undefined) throw new Error(`Line ${line} of the bundle is no entry.`);
  const before = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  const at = before + text.indexOf(leaf) + (leaf.length >> 1);
  const copy = Buffer.from(bundle);
  // Another letter of base64's own alphabet: the change is in what the entry says, not in how it is written.
  copy[at] = (bundle[at] ?? 0) === 0x41 ? 0x42 : 0x41;
  return { copy, at };
}
