/** CPU time of a process and of its threads, microseconds since they began. */
export interface Spent {
  process_us: number;
  main_us: number;
  writer_us: number;
}
