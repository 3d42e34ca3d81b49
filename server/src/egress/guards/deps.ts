/** Looks at a text for what has the shape of a secret, away from the thread that calls go through. */
export interface DlpScanner {
  /**
   * @param window  at most `DLP_WINDOW_BYTES_MAX` bytes; they are copied now.
   * @param tenant  whose it is: tenants take turns.
   * @returns the id of the rule that found something.
   * @throws EGRESS_CAPACITY  as many of the tenant, or of all, wait as may, or the thread is not there.
   */
  scan(window: Uint8Array, tenant: string): Promise<string | undefined>;
}

export interface GuardDeps {
  dlp: DlpScanner;
}
