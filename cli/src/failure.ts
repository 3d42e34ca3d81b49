import type { NextStep, Problem } from "@gantry/sdk";

/** What is printed under the message. */
export interface FailureParts {
  next_steps?: NextStep[];
  /** Where a file is wrong; `at` is a path relative to the working directory. */
  problems?: Problem[];
  /** Texts of the files that `problems` name, for the frames. */
  sources?: ReadonlyMap<string, string>;
}

/** A command cannot go on, and a person can make it right. The message is a sentence. */
export class Failure extends Error {
  /** One of `EXIT`. */
  readonly exit: number;
  readonly parts: FailureParts;

  constructor(exit: number, message: string, parts: FailureParts = {}) {
    super(message);
    this.name = "Failure";
    this.exit = exit;
    this.parts = parts;
  }
}

/** One of ours: its message is written for a person. */
export function isFailure(error: unknown): error is Failure {
  return error instanceof Failure;
}

/** The command line, a file or an input is wrong: exit 2. */
export function usage(message: string, parts: FailureParts = {}): Failure {
  return new Failure(2, message, parts);
}

/** A step that is a command to type. */
export function typeThis(text: string, command: string): NextStep {
  return { kind: "command", text, command };
}
