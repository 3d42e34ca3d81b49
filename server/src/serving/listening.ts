import { statSync } from "node:fs";
import { type Config, UsageError } from "../config.ts";
import { TLS_POLL_MS } from "../http/contract.ts";
import { type Listener, listen } from "../http/server.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import { readPair, type TlsChoice, type TlsPair } from "../tls_pair.ts";

type App = Parameters<typeof listen>[0];
interface Ground {
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
}

/** The listener of this server, with a certificate that is renewed when its files are. */
export interface Listening extends Listener {
  /** Looks at once whether the certificate's files hold another pair. */
  reload(): void;
}

/**
 * @param pair  of `pairAtStart`.
 * @throws UsageError when the config names a place that cannot be had.
 */
export async function openListener(
  app: App,
  config: Config,
  ground: Ground,
  pair: TlsPair | undefined,
): Promise<Listening> {
  const { host, port, tls } = config;
  try {
    const name = pair?.nameFor(host);
    const listener = await listen(app, { host, port, clock: ground.clock, tls: pair, name });
    if (tls === undefined || pair === undefined) return { ...listener, reload() {} };
    const watch = watchPair(tls, pair, ground, (next) => listener.renew(next));
    return {
      ...listener,
      reload: watch.look,
      close(limit_ms) {
        watch.stop();
        return listener.close(limit_ms);
      },
    };
  } catch (error) {
    throw listenFault(error, config);
  }
}

/** Do tokens leave this machine in clear text? */
export function isInClear({ host, tls }: Pick<Config, "host" | "tls">): boolean {
  return tls === undefined && !/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host);
}

/**
 * The certificate of the config, read before anything else is: what is wrong with it is said at once.
 * @throws UsageError
 */
export function pairAtStart({ tls }: Config, ground: Ground): TlsPair | undefined {
  if (tls === undefined) return undefined;
  try {
    const pair = readPair(tls, ground.clock.now());
    tellOf(pair, ground);
    return pair;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** An expiry that nobody sees coming is an outage: the metric is for alerts, the lines are for whoever looks. */
function tellOf({ warnings, fingerprint, expires_at }: TlsPair, { logger, metrics }: Ground): void {
  metrics.set("gantry_tls_expiry_timestamp_seconds", Math.floor(expires_at / 1_000));
  for (const warning of warnings) logger.warn({ fingerprint }, warning);
}

/**
 * Takes up a renewed pair without a restart. Both files are rarely replaced in one moment: a pair that is not whole keeps
 * the old one, and is looked at again each time. It is told once, and again when what is wrong changes.
 */
function watchPair(tls: TlsChoice, first: TlsPair, ground: Ground, renew: (pair: TlsPair) => void) {
  const { clock, logger } = ground;
  let held = first;
  let seen = stampOf(tls);
  let told: string | undefined;
  const look = (): void => {
    const stamp = stampOf(tls);
    try {
      const pair = readPair(tls, clock.now());
      if (pair.expires_at <= clock.now() && held.expires_at > clock.now()) throw new Error(pair.warnings.join(" "));
      seen = stamp;
      told = undefined;
      if (pair.cert === held.cert && pair.key === held.key) return;
      renew(pair);
      held = pair;
      logger.info({ fingerprint: pair.fingerprint, expires_at: pair.expires_at }, "took up a renewed certificate");
      tellOf(pair, ground);
    } catch (error) {
      const { message } = error as Error;
      if (message === told) return;
      told = message;
      logger.error(
        { fingerprint: held.fingerprint },
        `The new certificate is not taken up, the old one stays: ${message}`,
      );
    }
  };
  const stop = clock.every(TLS_POLL_MS, () => {
    if (told !== undefined || stampOf(tls) !== seen) look();
  });
  return { look, stop };
}

/** Another one when either file is another, or was written: a link that leads elsewhere counts. */
function stampOf({ cert, key }: TlsChoice): string {
  return [cert, key]
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found === undefined ? "-" : `${found.dev}:${found.ino}:${found.mtimeMs}:${found.size}`;
    })
    .join(" ");
}

/** Why the listener could not have its place, as a sentence where the caller chose the place. */
function listenFault(error: unknown, { host, port }: Config): unknown {
  const { code } = error as { code?: string };
  if (code === "EADDRINUSE")
    return new UsageError(`Port ${port} of ${host} is in use. Stop what uses it, or say --port.`);
  if (code === "EACCES")
    return new UsageError(`Port ${port} of ${host} is not yours to use. Say --port 1024 or above.`);
  if (code === "EADDRNOTAVAIL")
    return new UsageError(`${host} (host in the config file) is no address of this machine.`);
  return error;
}
