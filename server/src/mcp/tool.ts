import type { Gantry } from "@gantry/sdk";
import type { McpServer, ServerContext, ToolAnnotations } from "@modelcontextprotocol/server";
import type { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Caller } from "./caller.ts";
import type { McpScope } from "./contract.ts";
import { refused } from "./refusal.ts";
import type { Waits } from "./waits.ts";

/** What one call of a tool may use. */
export interface ToolCall {
  gantry: Gantry;
  caller: Caller;
  clock: Clock;
  waits: Waits;
  /** Aborted when the client gave the call up. */
  signal: AbortSignal;
  /** Tells a client that asked for progress how things stand; for others it does nothing. */
  progress(message: string): Promise<void>;
}

/** What a tool says: for programs by its output schema, for models as text. */
export interface ToolAnswer<O> {
  structured: O;
  text: string;
}

interface ToolSpec<I extends z.ZodObject, O extends z.ZodObject> {
  name: string;
  title: string;
  /** For a model that has to choose, and to use it right without anything else at hand. */
  description: string;
  input: I;
  output: O;
  annotations: Required<Omit<ToolAnnotations, "title">>;
  /** What the token needs. The API judges that; here it is told. */
  scopes: readonly McpScope[];
  call(args: z.output<I>, call: ToolCall): Promise<ToolAnswer<z.input<O>>>;
}

/** A tool, ready to be offered. */
export interface Tool extends Pick<ToolSpec<z.ZodObject, z.ZodObject>, "name" | "title" | "description" | "scopes"> {
  offer(server: McpServer, deps: OfferDeps): void;
}

export interface OfferDeps {
  caller: Caller;
  clock: Clock;
  log: Logger;
  waits: Waits;
}

/** Makes a tool of what it does. Whatever `call` throws becomes a result that says what to do. */
export function defineTool<I extends z.ZodObject, O extends z.ZodObject>(spec: ToolSpec<I, O>): Tool {
  const { name, title, description, input, output, annotations, scopes } = spec;
  const needs = `Needs the scope${scopes.length === 1 ? "" : "s"} ${scopes.join(", ")}.`;
  const told = scopes.length === 0 ? description : `${description}\n\n${needs}`;
  return {
    name,
    title,
    description: told,
    scopes,
    offer(server, { log, ...deps }) {
      const config = { title, description: told, inputSchema: input, outputSchema: output, annotations };
      const work = async (args: unknown, ctx: ServerContext) => {
        try {
          const answer = await spec.call(args as z.output<I>, callOf(ctx, deps));
          const structuredContent = answer.structured as Record<string, unknown>;
          return { content: [{ type: "text" as const, text: answer.text }], structuredContent };
        } catch (error) {
          // Nobody is there to read it.
          if (ctx.mcpReq.signal.aborted) return { content: [], isError: true };
          return refused(error, name, log);
        }
      };
      server.registerTool<z.ZodObject, z.ZodObject>(name, config, work);
    },
  };
}

function callOf(ctx: ServerContext, deps: Omit<OfferDeps, "log">): ToolCall {
  const { signal, _meta, notify } = ctx.mcpReq;
  const token = _meta?.progressToken;
  let told = 0;
  return {
    ...deps,
    gantry: deps.caller.gantry,
    signal,
    async progress(message) {
      if (token === undefined) return;
      told += 1;
      const params = { progressToken: token, progress: told, message };
      // A client that has gone is told by its signal.
      await notify({ method: "notifications/progress", params }).catch(() => undefined);
    },
  };
}
