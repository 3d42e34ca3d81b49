// Writes wasm-checksum/crc32.wasm: the module of crc32.wat, assembled by hand, byte by byte.
import { writeFileSync } from "node:fs";

const bytes_of = (text) => [text.length, ...Buffer.from(text, "ascii")];
/** Signed LEB128, as `i32.const` wants it. */
function signed(value) {
  const out = [];
  for (let rest = value | 0; ; rest >>= 7) {
    const byte = rest & 0x7f;
    const last = (rest >> 7 === 0 && !(byte & 0x40)) || (rest >> 7 === -1 && byte & 0x40);
    if (last) return [...out, byte];
    out.push(byte | 0x80);
  }
}
function unsigned(value) {
  const out = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...out, rest];
    out.push((rest & 0x7f) | 0x80);
  }
}
const section = (id, content) => [id, ...unsigned(content.length), ...content];
const vector = (items) => [...unsigned(items.length), ...items.flat()];

const I32 = 0x7f;
const get = (n) => [0x20, n];
const set = (n) => [0x21, n];
const constant = (n) => [0x41, ...signed(n)];
const [EQZ, LT_U, ADD, SUB, AND, XOR, SHR_U] = [[0x45], [0x49], [0x6a], [0x6b], [0x71], [0x73], [0x76]];
const LOAD8_U = [0x2d, 0, 0];
const loop = (body) => [0x03, 0x40, ...body, 0x0b];
const block = (body) => [0x02, 0x40, ...body, 0x0b];
const [br, br_if] = [(n) => [0x0c, n], (n) => [0x0d, n]];

// Parameters: 0 at, 1 length, 2 crc. Locals: 3 end, 4 bit. One line here is one line of crc32.wat.
// biome-ignore format: the lines are the listing.
const code = [
  ...get(0), ...get(1), ...ADD, ...set(3),
  ...get(2), ...constant(-1), ...XOR, ...set(2),
  ...block([
    ...loop([
      ...get(0), ...get(3), ...LT_U, ...EQZ, ...br_if(1),
      ...get(2), ...get(0), ...LOAD8_U, ...XOR, ...set(2),
      ...constant(8), ...set(4),
      ...loop([
        ...get(2), ...constant(1), ...SHR_U,
        ...constant(0), ...get(2), ...constant(1), ...AND, ...SUB, ...constant(0xedb88320), ...AND,
        ...XOR, ...set(2),
        ...get(4), ...constant(1), ...SUB, ...set(4),
        ...get(4), ...br_if(0),
      ]),
      ...get(0), ...constant(1), ...ADD, ...set(0),
      ...br(0),
    ]),
  ]),
  ...get(2), ...constant(-1), ...XOR,
  0x0b,
];
const body = [...vector([[2, I32]]), ...code];

const wasm = [
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, vector([[0x60, ...vector([[I32], [I32], [I32]]), ...vector([[I32]])]])),
  ...section(3, vector([[0]])),
  ...section(5, vector([[0x01, 1, 1]])),
  ...section(
    7,
    vector([
      [...bytes_of("memory"), 2, 0],
      [...bytes_of("crc32"), 0, 0],
    ]),
  ),
  ...section(10, vector([[...unsigned(body.length), ...body]])),
];
writeFileSync(new URL("../wasm-checksum/crc32.wasm", import.meta.url), Uint8Array.from(wasm));
