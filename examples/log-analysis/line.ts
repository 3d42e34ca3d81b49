export interface Request {
  client: string;
  /** `14/Mar/2026:06:12`. */
  minute: string;
  path: string;
  /** Method and path, with numbers replaced by `:id` and no query. */
  route: string;
  status: number;
  ms: number;
}

const LINE =
  /^(?<client>\S+) \S+ \S+ \[(?<minute>\d\d\/\w{3}\/\d{4}:\d\d:\d\d):\d\d [+-]\d{4}\] "(?<method>[A-Z]+) (?<path>\/\S*) HTTP\/[\d.]+" (?<status>\d{3}) \d+ (?<seconds>\d+)\.(?<thousandths>\d{3}) "[^"]*"$/;

/** One request, or undefined when the line is not one. */
export function parseLine(text: string): Request | undefined {
  const part = LINE.exec(text)?.groups;
  if (!part) return undefined;
  const { client = "", minute = "", method = "", path = "", status, seconds, thousandths } = part;
  const route = `${method} ${(path.split("?")[0] ?? "").replace(/\/\d+(?=\/|$)/g, "/:id")}`;
  return { client, minute, path, route, status: Number(status), ms: Number(seconds) * 1000 + Number(thousandths) };
}
