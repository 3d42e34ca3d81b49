/** `policy-identity`: who asks, by a bearer token against one SHA-256, and by a signed task against one bare signature check. */
import { createHash } from "node:crypto";
import { compactVerify, importJWK } from "jose";
import { actOf, generateKey, signTask } from "../../sdk/src/tasks.ts";
import { openGround } from "../../tests/fixtures/ground.ts";
import { table } from "./measure.ts";
import { rounds } from "./policy_ground.ts";

const CALLS = 500;

export async function identities(): Promise<void> {
  const ground = await openGround();
  const { identity, owner, secret } = ground;
  const bearer = await rounds(
    [
      { name: "one SHA-256 of the token", call: () => createHash("sha256").update(secret).digest("hex") },
      { name: "bearer token, seen before", call: () => identity.authenticate(secret) },
    ],
    CALLS,
  );
  console.log("Who has this token? (µs)");
  table(["", "p50", "p99", "ratio"], bearer);

  const { public_jwk, private_jwk } = await generateKey();
  const { kid } = await identity.registerKey(owner, { public_jwk, uses: ["task"] });
  const act = actOf(owner.chain.map(({ actor }) => actor));
  const key = { kid, actor: owner.actor, tenant: owner.tenant, instance: await identity.instance(), act, private_jwk };
  const task = await signTask(key, { code: { source: "export default () => 1;" }, input: null });
  const imported = await importJWK(public_jwk, "EdDSA");
  const signed = await rounds(
    [
      { name: "jose: verify with a key at hand", call: () => compactVerify(task, imported) },
      { name: "signed task: key, claims, chain from the store", call: () => identity.authenticateTask(task) },
    ],
    CALLS,
  );
  console.log("Who signed this task? (µs)");
  table(["", "p50", "p99", "ratio"], signed);
  await ground.remove();
}
