import { LIMIT_NAMES } from "../../kernel/limits.ts";
import {
  type Action,
  type Contract,
  contract_errors,
  type Decision,
  type PolicyRequest,
  policy_errors,
} from "../contract.ts";

/** The key of the contract that grants an action, or would. */
export function grantOf(action: Action): string | undefined {
  switch (action) {
    case "egress.request":
    case "egress.retry":
    case "lease.use":
      return "/egress";
    case "tool.list":
    case "tool.call":
      return "/tools";
    case "artifact.read":
    case "artifact.write":
    case "artifact.land":
    case "artifact.release":
      return "/bindings/artifacts";
    case "flag.raise":
    case "flag.reduce":
    case "flag.kill":
      return "/bindings/flags";
    case "workflow.start":
      return "/bindings/workflows";
    case "app.deploy":
    case "run.submit":
    case "contract.apply":
    case "tenant.set":
    case "secret.set":
    case "evidence.erase":
    case "evidence.succeed":
      return undefined;
  }
}

/** Limits that the request asks past the contract's ceiling. */
export function limitsPassed(contract: Contract, { context }: PolicyRequest): (keyof Contract["limits"])[] {
  return LIMIT_NAMES.filter((name) => (context.limits?.[name] ?? 0) > contract.limits[name]);
}

/** What would allow it, as sentences: a change of the contract, which loosens it, or another request. */
export function remediesOf(
  contract: Contract,
  request: PolicyRequest,
  { verdict, reasons, gates }: Decision,
): string[] {
  if (verdict === "allow") return [];
  if (verdict === "needs_human") {
    return gates.map(
      ({ name, quorum }) => `${quorum === 1 ? "One human approves" : `${quorum} humans approve`} the gate ${name}.`,
    );
  }
  const codes = new Set(reasons.map(({ code }) => code));
  return [...codes].flatMap((code) => remedies(code, contract, request));
}

function remedies(code: string, contract: Contract, request: PolicyRequest): string[] {
  const { action, context } = request;
  switch (code) {
    case contract_errors.LIMIT.code:
      return limitsPassed(contract, request).map(
        (name) => `Ask for ${name} ${contract.limits[name]} or less, or raise limits.${name} in the contract.`,
      );
    case contract_errors.SUSPENDED.code:
      return ["Apply a version of the contract; people approve that it resumes."];
    case policy_errors.TARGET.code:
      return [
        `Add ${context.target ?? "the target"} to the contract's targets, or act on one of: ${list(contract.targets)}.`,
      ];
    case policy_errors.TOOL.code:
      return [`Add {name: ${JSON.stringify(context.tool ?? "…")}} to the contract's tools.`];
    case policy_errors.ARGS.code:
      return ["Call the tool with arguments that one of its rules allows, or add a rule with these."];
    case policy_errors.CLASS.code:
      return [`A contract of another class than ${contract.class} may do it: extend another built-in contract.`];
    case policy_errors.DATA_CLASS.code:
      return ["Send it to a destination of at least the class that was read, or read less."];
    case policy_errors.FORBIDDEN.code:
      return ["Nothing but another contract: a Cedar policy of this one forbids it, whatever it permits."];
    case policy_errors.NO_PERMIT.code:
      return [missingPermit(action, context)];
    case policy_errors.EVAL_ERROR.code:
      return ["Ask with members that the action has, of the types that they have."];
    default:
      return [];
  }
}

/** The narrowest rule that would permit it. */
function missingPermit(action: Action, context: PolicyRequest["context"]): string {
  switch (grantOf(action)) {
    case "/egress": {
      const { host = "…", protocol = "https", port, method = "GET", path } = context;
      const rule = {
        hosts: [host],
        protocol,
        ...(port && { ports: [port] }),
        methods: [method],
        ...(path && { paths: [path] }),
      };
      return `Add to the contract's egress: ${JSON.stringify(rule)}`;
    }
    case "/tools":
      return `Add to the contract's tools: ${JSON.stringify({ name: context.tool ?? "…" })}`;
    case "/bindings/artifacts":
      return `Bind the repository: artifacts: ${JSON.stringify({ repos: [context.repo ?? "…"], mode: action === "artifact.read" ? "read" : "write" })}`;
    case "/bindings/flags":
      return `Bind the flags of the app, to write: flags: ${JSON.stringify({ app: context.app ?? "…", mode: "write" })}`;
    case "/bindings/workflows":
      return `Bind the workflow, to write, under the contract's bindings.`;
    default:
      return `No key of a contract grants ${action} but a Cedar policy that permits it.`;
  }
}

function list(values: readonly string[]): string {
  return values.length === 0 ? "none" : values.join(", ");
}
