import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, expect, it } from "vitest";
import { VirtualClock } from "../../tests/fixtures/virtual_clock.ts";
import { UsageError } from "./config.ts";
import { openNetwork } from "./network.ts";

const directory = mkdtempSync(join(tmpdir(), "gantry-network-"));
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Opens a network that believes what a file of this text holds. */
async function believing(text: string | undefined): Promise<void> {
  const file = join(directory, "ca.pem");
  rmSync(file, { force: true });
  if (text !== undefined) writeFileSync(file, text);
  await openNetwork({ resolvers: undefined, ca_files: [file], nat64_prefixes: [] }, new VirtualClock()).close();
}

it("authorities of the config file are read at the start, and what is wrong with a file is said of it by name", async () => {
  const pem = `${rootCertificates[0]}\n`;
  await believing(pem);
  await believing(`# ours\n${pem}\n${pem}`);
  const cases: [string | undefined, RegExp][] = [
    [undefined, /^egress\.ca_files: \/.*ca\.pem cannot be read: ENOENT/],
    ["", /^egress\.ca_files: \/.*ca\.pem has no certificate in PEM/],
    ["MIIB", /has no certificate in PEM/],
    [`${pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`, /certificate 2 of \/.*ca\.pem is damaged/],
  ];
  for (const [text, said] of cases) {
    const refused = await believing(text).catch((error: unknown) => error);
    expect(refused, text).toBeInstanceOf(UsageError);
    expect((refused as Error).message).toMatch(said);
  }
});
