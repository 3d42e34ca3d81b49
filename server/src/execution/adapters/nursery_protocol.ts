/** What the control plane and the nursery say to each other. */

/**
 * A jail's streams, as its descriptors 0, 1 and 2. Control is 0 because Node makes exactly these three blocking in the
 * child, and neither workerd nor a shell expects a descriptor that is not.
 */
export const STREAMS = ["control", "stdout", "stderr"] as const;

export interface NurseryOrder {
  id: string;
  command: string[];
  cwd: string;
  /** Added to the priority of the process while it boots (nice(2)). */
  nice: number;
}

export type NurseryReport =
  | { id: string; pid: number }
  | { id: string; code: number | null; signal: NodeJS.Signals | null; error?: string };
