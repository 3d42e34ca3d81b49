/**
 * What editors and `tsc` need to know about modules that are no TypeScript. In a run, `.wasm` is a compiled module,
 * and text files are their text. The `node:` modules are those that workerd offers; only what the examples use is
 * declared, so that Node's own types and those of the Workers API do not meet.
 */
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
declare module "*.csv" {
  const text: string;
  export default text;
}
declare module "*.md" {
  const text: string;
  export default text;
}
declare module "*.txt" {
  const text: string;
  export default text;
}
declare module "node:fs" {
  export function readFileSync(path: string, encoding: "utf8"): string;
  export function readdirSync(path: string): string[];
}
declare module "node:process" {
  const process: { env: Record<string, string | undefined> };
  export default process;
}
declare module "node:net" {
  interface NetSocket {
    write(text: string): void;
    on(event: "data", listener: (data: Uint8Array) => void): void;
    on(event: "error", listener: (error: Error) => void): void;
    on(event: "close", listener: () => void): void;
  }
  export function connect(port: number, host: string, connected: () => void): NetSocket;
}
