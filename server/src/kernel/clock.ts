/** The only source of time: everything else takes a `Clock`, so that a test can own time. */
export interface Clock {
  /** Integer milliseconds UTC. Never goes backwards within a process: what has expired stays expired. */
  now(): number;
  /** Milliseconds with fractions since an arbitrary start; for durations. */
  monotonic(): number;
  /** Calls `fn` once after `ms`; the returned function cancels. Does not keep the process alive. */
  after(ms: number, fn: () => void): () => void;
  /** Calls `fn` each `ms`; the returned function cancels. Does not keep the process alive. */
  every(ms: number, fn: () => void): () => void;
}

export function systemClock(): Clock {
  let latest = 0;
  return {
    now() {
      latest = Math.max(latest, Date.now());
      return latest;
    },
    monotonic: () => performance.now(),
    after(ms, fn) {
      const timer = setTimeout(fn, ms).unref();
      return () => clearTimeout(timer);
    },
    every(ms, fn) {
      const timer = setInterval(fn, ms).unref();
      return () => clearInterval(timer);
    },
  };
}

/**
 * `work`, or `late()` (a value, or a throw) when it takes longer than `ms`.
 * The work itself is not stopped: whoever started it must.
 */
export function within<T>(clock: Clock, ms: number, work: Promise<T>, late: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    });
    work.finally(cancel).then(resolve, reject);
  });
}
