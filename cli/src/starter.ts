/** What `gantry init` writes. In all of it, `# ` begins a sentence, and `#` without a space a line that may be switched on. */

/** The config file. @param contract  the name of the first contract. */
export function starterConfig(contract: string): string {
  return `# What the server is started with: gantry up --config gantry.yaml
# A line that begins with # and no space says a default, or an example where it says so: take the # away to change it.
# Options of the command line win over this file. All members: docs/operating.md; what is not one is refused.

# Contracts that are applied at each start, relative to this file. What grants something waits for a person then.
contracts:
  - contracts/${contract}.yaml

# Where keys, the owner's token and the database are. Nobody else may read it, and it belongs into no repository.
#data: .gantry

# sqlite keeps everything in the data directory. With postgres://user@host:port/database, several machines can share it;
# then a password belongs into the variable GANTRY_STORE or PGPASSWORD rather than here.
#store: sqlite

# Where the server listens. Another host than this machine's own needs tls, or something in front of it that has it.
#host: 127.0.0.1
#port: 4280

# An example: the certificate (PEM, with those that lead to its authority) and its key, relative to this file.
#tls: {cert: tls/cert.pem, key: tls/key.pem}

# An example: how many runs are worked on at once, and what they may take of the memory (MB) in all. The defaults are four
# for each core, and half of the memory.
#slots: 8
#slots_memory_mb: 4096

# Jailed processes that stand ready. More of them take a burst without waiting; each takes about 30 MB.
#warm_runners: 4

# An example: how calls of runs leave this machine. Name servers (default: the system's), and authorities that are
# believed besides the usual ones.
#egress:
#  resolvers: [10.0.0.53]
#  ca_files: [acme-ca.pem]

# An example: who keeps copies of the signed log's checkpoints. Without one, the log proves nothing against whoever can
# change both the database and its backups. Let somebody else own it.
#witnesses:
#  - file: /mnt/worm/gantry-checkpoints.txt

# May webhooks lead to addresses that are not public ones, and over plain HTTP?
#webhooks_private: false

# How long a stop waits for runs that go on, in milliseconds.
#drain_ms: 10000

# debug, info, warn or error; one JSON object per line, on standard error.
#log_level: info
`;
}

/** The first contract: it grants nothing, so that it holds at once. */
export function starterContract(name: string): string {
  return `# What code that runs under this contract may do. Kept beside the code, reviewed with it, and decided outside of it.
#
# Run by it:   gantry run FILE --contract ${name}
# Ask it:      gantry policy test contracts/${name}.policy.yaml
# Change it:   gantry contracts apply contracts/${name}.yaml
#
# As it stands it grants nothing but time, so it holds as soon as the server has read it. A change that takes something away
# holds at once. One that grants something waits for a person, and nobody decides about what they asked for themselves: start
# the server again, which asks for it as the agent "local"; log in with the link that it prints, and approve it.
kind: Contract
name: ${name}

# Built in: no target, no tool, no gate, and of the network only GET and HEAD to the hosts that are listed below: none yet.
# The others are scratch (no network), staging-mutation, production and temporary: gantry contracts list
extends: read-only

# Ceilings. A run that asks for more is denied with CONTRACT_LIMIT; one that asks for nothing gets 1 s of CPU time.
limits: {cpu_ms: 5000, wall_ms: 60000, memory_mb: 128}

# Of one run: so many calls, and so many bytes of them.
budgets: {egress_calls_max: 50, egress_bytes_max: 8388608}

# Nothing changes outside when a run reads, so one that was lost with its machine may be repeated.
idempotent: true

# An example of a first rule: pages of one host may be read. Add a case to the table before you apply it.
#egress:
#  - id: docs
#    hosts: [docs.example.com]
#    protocol: https
#    paths: ["/guide/*"]
`;
}

/** The table of the first contract: every case holds. */
export function starterTable(name: string): string {
  return `# What the contract ${name} says to single requests. Run it: gantry policy test contracts/${name}.policy.yaml
# It is asked of the file beside it, before anything is applied. expect is allow, deny or needs_human.
cases:
  - name: a program may run
    contract: ${name}
    actor: agent
    action: run.submit
    resource: code:any
    context: {limits: {cpu_ms: 5000}}
    expect: allow
    codes: []
  - name: not for longer than the contract gives
    contract: ${name}
    actor: agent
    action: run.submit
    resource: code:any
    context: {limits: {cpu_ms: 5001}}
    expect: deny
    codes: [CONTRACT_LIMIT]
  # When you switch the example rule on, this one is allowed.
  - name: no host is listed yet
    contract: ${name}
    actor: agent
    action: egress.request
    resource: host:docs.example.com
    context: {host: docs.example.com, protocol: https, port: 443, method: GET, path: /guide/start}
    expect: deny
    codes: [POLICY_NO_PERMIT]
  - name: nothing is ever sent
    contract: ${name}
    actor: agent
    action: egress.request
    resource: host:docs.example.com
    context: {host: docs.example.com, protocol: https, port: 443, method: POST, path: /guide/start}
    expect: deny
    codes: [POLICY_NO_PERMIT]
`;
}

/** Keys and tokens lie in the data directory. */
export const STARTER_IGNORE = ".gantry/\n";
