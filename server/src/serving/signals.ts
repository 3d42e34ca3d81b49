import { isatty } from "node:tty";

/** What SIGHUP does, which operators send after they changed a file under a server that runs. */
export interface HangUp {
  /** Does this as well. */
  also(reload: () => void): void;
}

/**
 * From here on SIGHUP reloads instead of ending the process. On a terminal it goes on to mean that the terminal is gone,
 * and ends it: a server that nobody sees any more would be a surprise.
 */
export function listenForHangUp(): HangUp {
  const reloads: (() => void)[] = [];
  const reload = (): void => {
    for (const each of reloads) each();
  };
  if (!isatty(0)) process.on("SIGHUP", reload);
  return { also: (each) => void reloads.push(each) };
}

/** The signal that ends the server, once there is one. Asked twice, it ends at once. */
export function untilToldToStop(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => {
        resolve(signal);
        // What is acknowledged is durable, the rest is taken up at the next start.
        process.once(signal, () => process.exit(130));
      });
    }
  });
}
