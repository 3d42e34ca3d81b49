import type { RunView } from "../../server/src/intent/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { readData, type StoredData } from "./audit.ts";
import { Dice } from "./dice.ts";
import { Diary, load, type Told } from "./load.ts";
import {
  disposeWithRunners,
  type HostProcess,
  isBlockedBubblewrap,
  processesOf,
  RUNTIME_ENV,
  startTicksOf,
} from "./runner_processes.ts";

const CLIENTS = 6;
/** Fewer slots than clients, so that some runs wait. */
const CONFIG = { slots: 3, warm_runners: 3, log_level: "warn" };
/** Death signals are delivered by the kernel; this is for a busy host. */
const DEATH_MS = 10_000;
/** Told keys that are asked for again after each start. */
const KEYS_REPEATED = 2;

/** What a war over one data directory left to be judged. */
export interface War {
  kills: number;
  /** Of those, before the server was ready. */
  kills_in_start: number;
  diary: Diary;
  /** Processes that outlived their server. */
  survivors: string[];
  /** What a later start of the server said otherwise than a client had been told before. */
  contradictions: string[];
  /** Every run that a client knows, as it is at the end. */
  ends: Map<string, RunView>;
  stored: StoredData;
}

/** Kills a loaded server again and again at moments that follow from the seed, and asks it afterwards what it knows. */
export async function wageWar(seed: number, kills: number): Promise<War> {
  const server = await startServer({ config: CONFIG, env: RUNTIME_ENV });
  try {
    const dice = new Dice(seed);
    const war = { kills: 0, kills_in_start: 0, diary: new Diary(), survivors: [], contradictions: [] };
    const front = new Front(server, war, dice);
    while (war.kills < kills) {
      await front.loadAndKill(new Dice(seed, war.kills));
      if (dice.chance(0.2)) await front.killInStart(dice.whole(0, 1_000));
      await server.restart();
      await front.compare();
    }
    const ends = await front.waitForEnds();
    await server.stop();
    return { ...war, ends, stored: readData(server.data) };
  } finally {
    await disposeWithRunners(server);
  }
}

class Front {
  readonly #server: TestServer;
  readonly #war: Omit<War, "ends" | "stored">;
  readonly #dice: Dice;
  /** How much of the diary was there at the last comparison. */
  #compared = 0;
  /** Processes that the next start must end. */
  #blocked: HostProcess[] = [];

  constructor(server: TestServer, war: Omit<War, "ends" | "stored">, dice: Dice) {
    this.#server = server;
    this.#war = war;
    this.#dice = dice;
  }

  /** Kills after some time, or right after an answer that a client has read. */
  async loadAndKill(dice: Dice): Promise<void> {
    const { diary } = this.#war;
    let answers = dice.chance(0.4) ? dice.whole(1, 20) : Number.POSITIVE_INFINITY;
    const kill = () => process.kill(this.#server.pid, "SIGKILL");
    const timer = setTimeout(kill, Number.isFinite(answers) ? 5_000 : dice.whole(1, 1_200));
    const on_told = (): void => {
      answers -= 1;
      if (answers !== 0) return;
      clearTimeout(timer);
      kill();
    };
    await load(this.#server, diary, {
      clients: CLIENTS,
      dice: (client) => new Dice(dice.whole(0, 2 ** 31), client),
      on_told,
    });
    await this.#server.exit();
    this.#war.kills += 1;
    await this.#demandNoSurvivors();
  }

  /** Kills a server that is about to start, so while it takes up what the one before left. */
  async killInStart(after_ms: number): Promise<void> {
    const started = this.#server.restart().then(
      () => true,
      () => false,
    );
    const timer = setTimeout(() => process.kill(this.#server.pid, "SIGKILL"), after_ms);
    const was_ready = await started;
    clearTimeout(timer);
    if (was_ready) await this.#server.kill();
    else this.#war.kills_in_start += 1;
    this.#war.kills += 1;
    await this.#demandNoSurvivors();
  }

  /** Asks the server that has just started for what clients were told since the last comparison, and for some keys. */
  async compare(): Promise<void> {
    this.#demandSwept();
    const { diary } = this.#war;
    const fresh = diary.told.slice(this.#compared);
    this.#compared = diary.told.length;
    for (const told of fresh) await this.#compareOne(told);
    const keyed = diary.told.filter(({ ask }) => ask.key !== undefined);
    for (let i = 0; i < KEYS_REPEATED && keyed.length > 0; i++) {
      await this.#repeat(keyed[this.#dice.whole(0, keyed.length - 1)]!);
    }
  }

  /** The end of each run that a client was told of. */
  async waitForEnds(): Promise<Map<string, RunView>> {
    const ends = new Map<string, RunView>();
    for (const { view } of this.#war.diary.told) {
      if (ends.has(view.id)) continue;
      ends.set(view.id, await this.#server.json<RunView>(`/v1/runs/${view.id}?wait_ms=60000`));
    }
    return ends;
  }

  async #compareOne({ status, view }: Told): Promise<void> {
    const answer = await this.#server.request(`/v1/runs/${view.id}`);
    const text = await answer.text();
    const is_same = status === 202 || text === JSON.stringify(view);
    if (answer.status === 200 && is_same) return;
    this.#war.contradictions.push(`told ${status} ${JSON.stringify(view)}, then ${answer.status} ${text}`);
  }

  async #repeat({ ask, view }: Told): Promise<void> {
    const headers = { "idempotency-key": ask.key! };
    const json = { ...ask.request, wait_ms: 0 };
    const answer = await this.#server.request("/v1/runs", {
      json: ask.request.wait_ms === 0 ? json : ask.request,
      headers,
    });
    const text = await answer.text();
    const { id } = JSON.parse(text) as { id?: string };
    if (id !== view.id) this.#war.contradictions.push(`key ${ask.key} was ${view.id}, then ${answer.status} ${text}`);
  }

  /** Engines die by themselves; a jail that was just being built may need the next start. */
  async #demandNoSurvivors(): Promise<void> {
    const { data } = this.#server;
    const engines = () => processesOf(data).filter((each) => !isBlockedBubblewrap(each));
    await eventually(() => engines().length === 0, "the runners' death", DEATH_MS).catch(() => {
      this.#war.survivors.push(...engines().map(({ pid, command }) => `${pid} ${command}`));
    });
    this.#blocked = processesOf(data);
  }

  #demandSwept(): void {
    for (const { pid, start_ticks, command } of this.#blocked) {
      if (startTicksOf(pid) === start_ticks) this.#war.survivors.push(`${pid} ${command}`);
    }
  }
}
