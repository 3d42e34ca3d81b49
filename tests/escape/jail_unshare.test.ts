import { unshareJail } from "../../server/src/execution/adapters/jails.ts";
import { jailHosts } from "./jail_hosts.ts";
import { jailSuite } from "./jail_suite.ts";

jailSuite(unshareJail);
jailHosts(unshareJail);
