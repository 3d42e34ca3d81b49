// The ticket system of docs/egress.md, and the name server that knows where it is: what a page may suppose and a test machine lacks.
// Usage: tickets.mjs SECRET; it prints a line when both listen.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";

const NAME = "tickets.acme.example";
const SYSTEM = { host: "127.0.0.2", port: 8080 };
const NAME_SERVER = { address: "127.0.0.1", port: 5354 };
const DNS_HEADER_BYTES = 12;
const TYPE_A = 1;

const secret = process.argv[2] ?? "";
const system = createServer((request, response) => {
  const is_known = request.headers.authorization === `Bearer ${secret}`;
  response.writeHead(is_known ? 200 : 401, { "content-type": "application/json" });
  response.end(JSON.stringify(is_known ? { open: 3, as: "a known caller" } : { as: "nobody" }));
});

/**
 * The answer to one question (RFC 1035, 4.1): the address of the one name, no record of another type, and of other names that there
 * is none.
 * @param {Buffer} query
 */
function answerTo(query) {
  const labels = [];
  let at = DNS_HEADER_BYTES;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = query.readUInt16BE(at + 1);
  const is_known = labels.join(".").toLowerCase() === NAME;
  const records =
    is_known && type === TYPE_A ? [Buffer.from([0xc0, DNS_HEADER_BYTES, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4])] : [];
  const header = Buffer.alloc(DNS_HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(is_known ? 0x8580 : 0x8583, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  const address = records.length > 0 ? Buffer.from(SYSTEM.host.split(".").map(Number)) : Buffer.alloc(0);
  return Buffer.concat([header, query.subarray(DNS_HEADER_BYTES, at + 5), ...records, address]);
}

const names = createSocket("udp4");
names.on("message", (query, from) => names.send(answerTo(query), from.port, from.address));
names.bind(NAME_SERVER.port, NAME_SERVER.address);
system.listen(SYSTEM.port, SYSTEM.host);
await Promise.all([once(names, "listening"), once(system, "listening")]);
console.log(`${NAME} is there`);
