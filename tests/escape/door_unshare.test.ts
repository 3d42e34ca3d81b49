import { unshareJail } from "../../server/src/execution/adapters/jails.ts";
import { doorSuite } from "./door_suite.ts";

doorSuite(unshareJail);
