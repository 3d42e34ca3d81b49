import { assert } from "../kernel/assert.ts";
import { GantryError, isGantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ActorId, TenantId, TokenId } from "../kernel/ids.ts";
import { type Metrics, noMetrics } from "../kernel/telemetry.ts";
import type { Agreements, Reader, Storage, Tx } from "../storage/contract.ts";
import { type ActorRequest, createActor, setActorState } from "./actors.ts";
import { AuthRate } from "./auth_rate.ts";
import { PrincipalCache } from "./cache.ts";
import {
  type Actor,
  type ActorKey,
  auth_errors,
  type ChainLink,
  type Human,
  type Identity,
  identity_errors,
  type LiveRunOf,
  type MintedToken,
  type Principal,
  type Scope,
  type SettingGate,
  type TenantSettings,
  token_errors,
  type VerifiedTask,
} from "./contract.ts";
import { usableScopes } from "./delegation.ts";
import { DeniedHosts } from "./denied.ts";
import type { Desk } from "./desk.ts";
import { PublicKeys } from "./jws.ts";
import { type KeyRequest, registerKey, revokeKey } from "./keys.ts";
import { LatestClock } from "./latest_clock.ts";
import { type Login, useLink } from "./links.ts";
import { chainHash, type RecordParts } from "./records.ts";
import {
  changeSettings,
  readTenant,
  type SettingDecided,
  type SettingsAnswer,
  settingDecided,
  settingsOf,
} from "./settings.ts";
import { confirmPrincipal, demandActiveChain, demandScope, judgeToken, tokenExpired } from "./standing.ts";
import { readCeiling, readChain, selectTokenByHash } from "./store.ts";
import { claimTask, codeSigner, verifyTask } from "./tasks.ts";
import { selectActiveHumans, selectOwned } from "./tenant_store.ts";
import { createTenant, type MadeTenant, setTenantState } from "./tenants.ts";
import { tokenHash } from "./token.ts";
import { mintToken, revokeToken, type TokenRequest } from "./tokens.ts";

export type { ActorRequest } from "./actors.ts";
export type { TokenRequest } from "./tokens.ts";

const INSTANCE = "identity.instance";
const INSTANCE_BYTES = 16;

export interface IdentityParts extends RecordParts {
  storage: Storage;
  agreements: Pick<Agreements, "agree">;
  /** Default: no run is alive. */
  live_run?: LiveRunOf;
  metrics?: Metrics;
}

/** Who exists, who asks, and what a token of theirs may do. Each change commits together with its ledger entry. */
export class IdentityRegistry implements Identity {
  readonly #desk: Desk;
  readonly #cache = new PrincipalCache();
  readonly #rate = new AuthRate();
  readonly #keys = new PublicKeys();
  readonly #denied: DeniedHosts;
  readonly #live_run: LiveRunOf;
  readonly #agreements: Pick<Agreements, "agree">;
  #instance: string | undefined;

  constructor(parts: IdentityParts) {
    const clock = new LatestClock(parts.clock, parts.storage);
    this.#desk = { ...parts, clock, cache: this.#cache, metrics: parts.metrics ?? noMetrics };
    this.#denied = new DeniedHosts(parts.storage, parts.clock);
    this.#live_run = parts.live_run ?? (async () => undefined);
    this.#agreements = parts.agreements;
  }

  async authenticate(bearer: string | undefined, from?: string): Promise<Principal> {
    if (bearer === undefined || bearer === "") {
      throw new GantryError(auth_errors.REQUIRED, {
        detail: "Send the header `Authorization: Bearer gtr_…`.",
        next_steps: [{ kind: "read", text: "The owner's token is in the file owner.token of the data directory." }],
      });
    }
    return this.#counted(from, () => {
      const hash = tokenHash(bearer);
      const now = this.#desk.clock.now();
      const known = this.#cache.get(hash, now);
      if (known === undefined) return this.#lookUp(hash, from);
      if (known.expires_at <= now) return this.#endedAt(known.expires_at);
      return known.principal;
    });
  }

  recognise(bearer: string): Principal | undefined {
    const now = this.#desk.clock.now();
    // What was remembered was whole: shape and checksum need no second look.
    const known = this.#cache.get(sha256Hex(bearer), now);
    return known === undefined || known.expires_at <= now ? undefined : known.principal;
  }

  async #lookUp(hash: string, from: string | undefined): Promise<Principal> {
    const { clock, storage } = this.#desk;
    if (!this.#cache.met(hash)) this.#rate.demand(from, clock.now());
    const { epoch } = this.#cache;
    await clock.ready();
    const row = await selectTokenByHash(storage, hash);
    if (row === undefined) throw new GantryError(token_errors.UNKNOWN, { detail: "No tenant here has this token." });
    const now = clock.now();
    if (row.revoked_at === null && row.expires_at <= now) return this.#endedAt(row.expires_at);
    judgeToken(row, now);
    const chain = readChain(row.chain_json);
    assert(chain.at(-1)?.actor === row.actor_id, "a token's chain ends with its actor");
    await demandActiveChain(storage, row.tenant_id, chain);
    const principal: Principal = Object.freeze({
      tenant: row.tenant_id,
      actor: row.actor_id,
      chain,
      chain_hash: chainHash(chain),
      token: row.id,
      scopes: usableScopes(row, chain),
    });
    this.#cache.put(hash, principal, row.expires_at, now, epoch);
    return principal;
  }

  async #endedAt(at: number): Promise<never> {
    await this.#desk.clock.passed(at);
    throw tokenExpired(at);
  }

  /** Counts what fails, by address; and what the store cannot tell is a failure of ours. */
  async #counted<T>(from: string | undefined, attempt: () => Promise<T> | T): Promise<T> {
    const { clock } = this.#desk;
    try {
      return await attempt();
    } catch (error) {
      if (!isGantryError(error)) throw error;
      const { kind } = error;
      if (kind.status === 401 || kind.status === 410) {
        // The limit first, so that the 21st attempt is refused and not only the one after it.
        this.#rate.demand(from, clock.now());
        this.#rate.failed(from, clock.now());
      }
      if (!kind.code.startsWith("STORAGE_")) throw error;
      throw new GantryError(identity_errors.UNAVAILABLE, {
        detail: "Tokens cannot be looked up at the moment, so nobody is let in whom this process does not remember.",
        reasons: [{ code: kind.code, detail: kind.title }],
        cause: error,
      });
    }
  }

  authenticateTask(jws: string, from?: string): Promise<{ who: Principal; task: VerifiedTask }> {
    return this.#counted(from, async () => {
      const { clock, storage } = this.#desk;
      this.#rate.demand(from, clock.now());
      await clock.ready();
      return verifyTask(storage, this.#keys, clock, jws, await this.instance());
    });
  }

  /** What a signed task names as its audience: made at the first use, the same for all processes over one database. */
  async instance(): Promise<string> {
    const fresh = () => `ins_${Buffer.from(this.#desk.random.bytes(INSTANCE_BYTES)).toString("hex")}`;
    this.#instance ??= await this.#agreements.agree(INSTANCE, fresh());
    return this.#instance;
  }

  claimTask(tx: Tx, who: Principal, task: VerifiedTask, run: string): Promise<void> {
    return claimTask(tx, this.#desk.clock, who.tenant, task, run);
  }

  verifyCodeSignature(tenant: TenantId, code_hash: string, jws: string): Promise<ActorId | undefined> {
    return codeSigner(this.#desk.storage, this.#keys, this.#desk.clock, { tenant, code_hash, jws });
  }

  confirm(reader: Reader, who: Principal): Promise<void> {
    return confirmPrincipal(reader, who, this.#desk.clock);
  }

  demandActive(reader: Reader, tenant: TenantId, chain: readonly ChainLink[]): Promise<void> {
    return demandActiveChain(reader, tenant, chain);
  }

  async voters(reader: Reader, tenant: TenantId): Promise<Human[]> {
    const humans = await selectActiveHumans(reader, tenant);
    const may = (json: string) => readCeiling(json)?.includes("gate:approve") ?? true;
    return humans.filter((row) => may(row.ceiling_json)).map(({ id, name }) => ({ actor: id, name }));
  }

  ownedBy(reader: Reader, tenant: TenantId, actor: ActorId): Promise<ActorId[]> {
    return selectOwned(reader, tenant, actor);
  }

  async settings(reader: Reader, tenant: TenantId): Promise<TenantSettings> {
    return settingsOf(await readTenant(reader, tenant));
  }

  deniedHosts(tenant: TenantId): Promise<readonly string[]> {
    return this.#denied.of(tenant);
  }

  watchSettings(listener: (tenant: TenantId) => void): () => void {
    return this.#denied.watch(listener);
  }

  demand(who: Principal, scope: Scope): void {
    demandScope(who, scope);
  }

  /** See `useLink`. */
  login(link: string, from?: string): Promise<Login> {
    return this.#counted(from, async () => {
      this.#rate.demand(from, this.#desk.clock.now());
      await this.#desk.clock.ready();
      return useLink(this.#desk, link);
    });
  }

  /** See `changeSettings`. */
  changeSettings(
    who: Principal,
    gate: SettingGate,
    asked: { rev: number; settings: Partial<TenantSettings> },
  ): Promise<SettingsAnswer> {
    return changeSettings(this.#desk, gate, who, asked).then((answer) => {
      if (answer.done) this.#denied.changed(who.tenant);
      return answer;
    });
  }

  /** See `settingDecided`. */
  settingDecided(tx: Tx, decided: SettingDecided): ReturnType<typeof settingDecided> {
    return settingDecided(this.#desk, tx, decided);
  }

  /** See `createTenant`. */
  createTenant(who: Principal, slug: string): Promise<MadeTenant> {
    return createTenant(this.#desk, who, slug);
  }

  /** See `createActor`. */
  createActor(who: Principal, request: ActorRequest): Promise<Actor> {
    return createActor(this.#desk, who, request);
  }

  /** See `mintToken`. */
  mintToken(who: Principal, request: TokenRequest): Promise<MintedToken> {
    return mintToken(this.#desk, who, request, this.#live_run);
  }

  /** See `revokeToken`. */
  revokeToken(who: Principal, id: TokenId): Promise<number> {
    return revokeToken(this.#desk, who, id);
  }

  /** See `registerKey`. */
  registerKey(who: Principal, request: KeyRequest): Promise<ActorKey> {
    return registerKey(this.#desk, who, request);
  }

  /** See `revokeKey`. */
  revokeKey(who: Principal, kid: string): Promise<void> {
    return revokeKey(this.#desk, who, kid);
  }

  /** See `setActorState`. */
  setActorState(who: Principal, id: ActorId, state: "active" | "suspended"): Promise<void> {
    return setActorState(this.#desk, who, id, state);
  }

  /** See `setTenantState`. */
  setTenantState(who: Principal, id: TenantId, state: "active" | "suspended"): Promise<void> {
    return setTenantState(this.#desk, who, id, state);
  }
}
