/** Looks at a text for what has the shape of a secret, away from the thread that calls go through. */
export interface DlpScanner {
  /**
   * @param window  at most `DLP_WINDOW_BYTES_MAX` bytes; they are copied now.
   * @returns the id of the rule that found something.
   * @throws EGRESS_CAPACITY  as many wait as may, or the thread is not there.
   */
  scan(window: Uint8Array): Promise<string | undefined>;
}

export interface GuardDeps {
  dlp: DlpScanner;
}
