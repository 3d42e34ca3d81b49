import { findInstallation } from "./installation.ts";
import { runProgram } from "./program.ts";
import { systemTerminal } from "./terminal.ts";

// Not `process.exit`: output to a pipe may still be on its way.
process.exitCode = await runProgram(process.argv.slice(2), systemTerminal(), findInstallation());
