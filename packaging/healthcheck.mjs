// Asks the server of this data directory whether it can take runs: exit 0 if it can, 1 if not. For HEALTHCHECK of an image and
// for probes. It sends no token, so it need not know who answers: a certificate is not checked.
import { readFileSync } from "node:fs";
import { get as getPlain } from "node:http";
import { get as getOverTls } from "node:https";
import { isIP } from "node:net";
import { join } from "node:path";

const TIMEOUT_MS = 4_000;

/** @param {string} why */
function fail(why) {
  console.error(why);
  process.exit(1);
}

/** @returns {string} */
function urlOfServer() {
  const path = join(process.env["GANTRY_DATA"] ?? ".gantry", "server.json");
  try {
    return JSON.parse(readFileSync(path, "utf8")).url;
  } catch (error) {
    return fail(`no server runs here: ${error instanceof Error ? error.message : error}`) ?? "";
  }
}

const url = new URL("/readyz", urlOfServer());
const get = url.protocol === "https:" ? getOverTls : getPlain;
const asked = url.hostname.replace(/^\[|\]$/g, "");
// A name may be one that only others resolve, and 0.0.0.0 is no place to ask: what is meant is this machine.
const host = isIP(asked) === 0 || asked === "0.0.0.0" || asked === "::" ? "127.0.0.1" : asked;
const options = { host, port: url.port, path: url.pathname, timeout: TIMEOUT_MS, rejectUnauthorized: false };
get(options, (answer) => {
  let text = "";
  answer.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
  });
  answer.on("end", () => (answer.statusCode === 200 ? console.log("ready") : fail(text)));
})
  .on("timeout", () => fail(`no answer from ${url} within ${TIMEOUT_MS} ms`))
  .on("error", (error) => fail(`no answer from ${url}: ${error.message}`));
