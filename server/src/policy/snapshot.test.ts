import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { bases, parse } from "../../../tests/fixtures/contract_documents.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { Contract } from "./contract.ts";
import { parseContract } from "./document/document.ts";
import { cedarProblems } from "./engine/validate.ts";
import { ENGINE_VERSION, SCHEMA_VERSION, snapshotOf } from "./snapshot.ts";
import { readContract } from "./store.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const example = "examples/contracts/production-change.yaml";

describe("a snapshot's id", () => {
  it("is the SHA-256 of the canonical body, which names the contract, the schema and the engine", () => {
    const contract = parse("scratch", {});
    const body = { policies: [], schema: SCHEMA_VERSION, contract, engine: ENGINE_VERSION };
    expect(snapshotOf(contract).body).toBe(canonicalJson(body));
    expect(snapshotOf(contract).id).toBe(`snp_${sha256Hex(canonicalJson(body))}`);
  });

  it("is the same in another process", () => {
    const program = `
      const { readFileSync } = await import("node:fs");
      const from = (file) => import(${JSON.stringify(root)} + "server/src/policy/" + file);
      const { parseContract } = await from("document/document.ts");
      const { builtinContracts } = await from("builtin.ts");
      const { snapshotOf } = await from("snapshot.ts");
      const text = readFileSync(${JSON.stringify(root + example)}, "utf8");
      const contract = parseContract({ name: "other-name.yaml", text }, builtinContracts(), () => []);
      process.stdout.write(snapshotOf(contract).id);`;
    const told = execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      cwd: root,
      encoding: "utf8",
    });
    const text = readFileSync(root + example, "utf8");
    expect(told).toBe(snapshotOf(parseContract({ name: example, text }, bases, cedarProblems)).id);
  });

  it("differs as soon as anything that is said differs", () => {
    const whole = parseContract({ name: example, text: readFileSync(root + example, "utf8") }, bases, cedarProblems);
    const ids = Object.keys(whole).map((key) => snapshotOf({ ...whole, [key]: "other" } as unknown as Contract).id);
    expect(new Set([...ids, snapshotOf(whole).id]).size).toBe(ids.length + 1);
  });
});

describe("a contract that an older version stored", () => {
  /** As they stand in the databases of the version before contracts could say more than this. */
  const plain =
    '{"class":"read-only","extends":"scratch","idempotent":true,"isolation":"process","isolation_floor":"pooled","jail":"optional","kind":"Contract","limits":{"code_bytes_max":16777216,"cpu_ms":60000,"input_bytes_max":16777216,"log_bytes_max":4194304,"memory_mb":512,"modules_max":512,"output_bytes_max":16777216,"wall_ms":900000},"name":"acme"}';
  const said =
    '{"class":"read-only","extends":"scratch","idempotent":false,"isolation":"session","isolation_floor":"session","jail":"required","kind":"Contract","limits":{"code_bytes_max":16777216,"cpu_ms":500,"input_bytes_max":16777216,"log_bytes_max":4194304,"memory_mb":512,"modules_max":512,"output_bytes_max":16777216,"wall_ms":2000},"name":"acme","redaction":{"prompts":"drop"}}';

  it("is what its document is today: applying that again changes nothing", () => {
    expect(readContract(plain)).toEqual(parse("scratch", {}));
    const more = {
      isolation: "session",
      isolation_floor: "session",
      jail: "required",
      idempotent: false,
      redaction: { prompts: "drop" },
      limits: { cpu_ms: 500, wall_ms: 2_000 },
    };
    expect(readContract(said)).toEqual(parse("scratch", more));
    expect(snapshotOf(readContract(said)).id).toBe(snapshotOf(parse("scratch", more)).id);
  });

  it("grants nothing of what it does not mention, and has the ceilings of limits that it does not know", () => {
    const { memory_mb: _, ...limits } = JSON.parse(plain).limits;
    const contract = readContract(JSON.stringify({ ...JSON.parse(plain), limits }));
    expect(contract).toMatchObject({ targets: [], tools: [], egress: [], bindings: {}, gates: [], cedar: [] });
    expect(contract.limits.memory_mb).toBe(512);
    expect(Object.isFrozen(contract.limits)).toBe(true);
  });

  it("that was stored by this version is read as it was", () => {
    const contract = parse("staging-mutation", { tools: [{ name: "a" }], cedar: ["x"], phase: { n: 1 } });
    expect(readContract(canonicalJson(contract))).toEqual(contract);
  });
});
