import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  actOf,
  audienceOf,
  codeHash,
  generateKey,
  inputHash,
  type SigningKey,
  signCode,
  signTask,
} from "../../sdk/src/tasks.ts";
import { codeHash as serverHash } from "../../server/src/execution/modules.ts";
import { sha256Hex } from "../../server/src/kernel/hash.ts";
import { type Ground, openGround } from "../fixtures/ground.ts";

let ground: Ground;
let key: SigningKey;

beforeAll(async () => {
  ground = await openGround();
  const { public_jwk, private_jwk } = await generateKey();
  const { kid } = await ground.identity.registerKey(ground.owner, {
    actor: ground.owned.agent,
    public_jwk,
    uses: ["task", "code"],
  });
  const me = { tenant: { id: ground.owned.tenant, slug: "default" }, instance: await ground.identity.instance() };
  const act = actOf([ground.owned.owner, ground.owned.agent]);
  key = { kid, actor: ground.owned.agent, ...audienceOf(me), act, private_jwk };
});
afterAll(() => ground.remove());

/** What a client signs, the server verifies; what they hash, they hash alike. */
describe("what the SDK signs", () => {
  it("is a task that the server takes", async () => {
    const code = { source: "export default () => 1" };
    const task = await signTask(key, { code, input: { a: [1, "é"] }, contract: "scratch" });
    const verified = await ground.identity.authenticateTask(task);
    expect(verified.who.actor).toBe(ground.owned.agent);
    expect(verified.task).toMatchObject({
      contract: "scratch",
      code_hash: serverHash({ entry: "main.ts", modules: { "main.ts": code.source } }),
      input_hash: sha256Hex(JSON.stringify({ a: [1, "é"] })),
    });
    const other = await signTask(key, { code });
    expect((await ground.identity.authenticateTask(other)).task.jti).not.toBe(verified.task.jti);
  });

  it("is code whose author the server knows", async () => {
    const code = { entry: "a.ts", modules: { "a.ts": "1", "b.wasm": { base64: "AGFzbQ==" } } };
    const author = await ground.identity.verifyCodeSignature(
      ground.owned.tenant,
      await codeHash(code),
      await signCode(key, code),
    );
    expect(author).toBe(ground.owned.agent);
  });

  it("has the hashes that the server gives the same code and input", async () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}\.(ts|txt)$/);
    const module = fc.oneof(
      fc.string({ unit: "grapheme" }).map((text) => ({ sent: text, is: text })),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => {
        const base64 = Buffer.from(bytes).toString("base64");
        return { sent: { base64 }, is: Buffer.from(bytes) };
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(name, module, { minKeys: 1, maxKeys: 4, noNullPrototype: true }),
        fc.jsonValue(),
        async (modules, input) => {
          const [entry = ""] = Object.keys(modules);
          const pick = <K extends "sent" | "is">(kind: K) =>
            Object.fromEntries(Object.entries(modules).map(([each, both]) => [each, both[kind]]));
          const code = { entry, modules: pick("sent") as Record<string, string | { base64: string }> };
          expect(await codeHash(code)).toBe(
            serverHash({ entry, modules: pick("is") as Record<string, string | Buffer> }),
          );
          // As the server reads it: parsed from the request's body, and written again.
          const received = JSON.parse(JSON.stringify({ input })) as { input: unknown };
          expect(await inputHash(input)).toBe(sha256Hex(JSON.stringify(received.input)));
        },
      ),
    );
    expect(await inputHash(undefined)).toBe(sha256Hex("null"));
  });
});
