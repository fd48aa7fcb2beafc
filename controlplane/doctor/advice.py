"""What each finding means, how bad it is, and the command or the step that helps."""

from typing import NamedTuple

from controlplane.doctor.findings import Finding, Level


class Advice(NamedTuple):
    """do: a command or a step; ABOUT in it is what the check is about."""

    level: Level
    means: str
    do: str


_WARN, _FAIL = Level.WARN, Level.FAIL
ADVICE: dict[Finding, Advice] = {
    Finding.API_UNREACHABLE: Advice(
        _FAIL,
        "nobody answers there: what runs in the clusters goes on, and nothing new is decided",
        "where the centre runs: muster doctor --local, then its log; MUSTER_URL names another address",
    ),
    Finding.API_REFUSES: Advice(
        _FAIL, "the centre does not know this token", "set MUSTER_TOKEN to one it knows"
    ),
    Finding.API_OLDER: Advice(_WARN, "this command is newer than the centre", "docs/operations/upgrade.md"),
    Finding.API_NEWER: Advice(_WARN, "this command is older than the centre", "update the command"),
    Finding.NOT_READY: Advice(
        _WARN,
        "this process is not up to date, and says so at /readyz",
        "wait a minute; if it stays, the part named is the cause",
    ),
    Finding.LOOP_LAGS: Advice(
        _WARN,
        "the process has no time: leases may be lost",
        "give it a processor of its own; muster serve --loops",
    ),
    Finding.SETTINGS_INVALID: Advice(_FAIL, "the service would not start", "put the setting right"),
    Finding.NOTHING_HERE: Advice(
        _WARN,
        "no centre was ever started with these settings",
        "run it where the centre runs, with its MUSTER_... settings",
    ),
    Finding.KEYS_MISSING: Advice(
        _FAIL,
        "without its keys a centre is another installation",
        "is MUSTER_KEYS_DIR (MUSTER_DATA_DIR) right? Only where they are lost: muster restore brings them"
        " back, and the database of that time",
    ),
    Finding.KEYS_OPEN: Advice(
        _FAIL, "others on this machine may read them", "chmod 700 the folder, 600 its files"
    ),
    Finding.KEYS_OF_ANOTHER: Advice(
        _FAIL,
        "these keys and this database are not of one installation",
        "is MUSTER_KEYS_DIR (MUSTER_DATA_DIR), or MUSTER_POSTGRES_DSN, that of another installation? Put it"
        " right: nothing is lost. Only where its keys are lost: both of one backup, muster restore"
        " FILE --replace, and what came after it is gone",
    ),
    Finding.DISK_SCARCE: Advice(
        _WARN, "the disk fills", "make room, or move what lies there to a larger one"
    ),
    Finding.DISK_FULL: Advice(
        _FAIL, "writes will fail, or do", "make room now: logs first, never what is Muster's"
    ),
    Finding.POSTGRES_UNREACHABLE: Advice(
        _FAIL,
        "without it nothing is decided, accepted or told; agents keep what they have",
        "start it; where Muster runs it itself: muster serve, whose log says why it ended",
    ),
    Finding.POSTGRES_REFUSES: Advice(
        _FAIL,
        "it answers, and does not let us in",
        "look at user, password and database in MUSTER_POSTGRES_DSN",
    ),
    Finding.POSTGRES_OLD: Advice(_WARN, "older than what is tested", "use Postgres 14 or newer"),
    Finding.POSTGRES_READ_ONLY: Advice(
        _FAIL,
        "this is a standby: nothing can be written",
        "point MUSTER_POSTGRES_DSN at the primary, or promote this",
    ),
    Finding.POSTGRES_NOT_DURABLE: Advice(
        _FAIL,
        "what is accepted may be lost in a power cut",
        "set fsync, full_page_writes and synchronous_commit to on (embedded: MUSTER_POSTGRES_DURABLE)",
    ),
    Finding.NO_STANDBY: Advice(
        _WARN,
        "a machine that is lost takes with it what was committed since the last backup",
        "set up a standby, name it in synchronous_standby_names; until then: muster backup FILE, every night",
    ),
    Finding.STANDBY_LAGS: Advice(
        _WARN, "a failover would lose that much, or commits wait for it", "look at the standby"
    ),
    Finding.DATABASE_EMPTY: Advice(
        _WARN, "no centre has ever used it", "muster serve fills it; a backup goes in by muster restore FILE"
    ),
    Finding.DATABASE_BEHIND: Advice(
        _WARN, "an older release made it", "the next start of muster serve migrates it"
    ),
    Finding.DATABASE_NEWER: Advice(
        _FAIL, "a later release took away what this one uses", "run that release; docs/operations/upgrade.md"
    ),
    Finding.CONNECTIONS_SCARCE: Advice(
        _WARN, "a centre that restarts may find none", "raise max_connections, or end what holds them"
    ),
    Finding.TRANSACTION_LONG: Advice(
        _WARN,
        "it holds locks, or keeps old rows alive",
        "look at pg_stat_activity, and end it: pg_terminate_backend",
    ),
    Finding.LEDGER_UNEQUAL: Advice(
        _FAIL,
        "a balance is not the sum of its entries: somebody wrote past Muster",
        "muster quota ledger shows which",
    ),
    Finding.NATS_UNREACHABLE: Advice(
        _FAIL,
        "no agent is heard, no order goes out; alerts at the centre's own doors are served",
        "start it; is MUSTER_NATS_URL right, and the way there open?",
    ),
    Finding.NATS_REFUSES: Advice(
        _FAIL,
        "this server trusts another operator, or none",
        "give it the muster-trust.conf that muster nats init wrote with these keys, and reload it",
    ),
    Finding.NATS_OLD: Advice(_WARN, "older than what is tested", "use nats-server 2.10 or newer"),
    Finding.JETSTREAM_OFF: Advice(
        _FAIL, "reports and orders have nowhere to lie", "add a jetstream block to its configuration"
    ),
    Finding.STREAM_MISSING: Advice(
        _FAIL,
        "it is made when a centre connects",
        "restart the centre; if it stays, its log says what NATS answers",
    ),
    Finding.STREAM_DIFFERS: Advice(
        _FAIL,
        "somebody changed it: bounds or isolation may be gone",
        "restart a centre: it puts it right, or says why not",
    ),
    Finding.STREAM_FILLS: Advice(
        _WARN,
        "when it is full, agents are refused",
        "who fills it? muster get clusters --sort -nodes",
    ),
    Finding.STREAM_FULL: Advice(
        _FAIL,
        "agents are refused: what they say is not heard",
        "remove clusters that are gone: muster clusters remove",
    ),
    Finding.STREAM_ONCE: Advice(
        _WARN,
        "a server that is lost takes it along; agents then report all anew",
        "nothing, where that is acceptable; else MUSTER_NATS_REPLICAS=3, with three servers",
    ),
    Finding.CONSUMER_MISSING: Advice(
        _WARN, "this agent is given no orders until it is made", "it is made at its next beat: does it beat?"
    ),
    Finding.CONSUMER_BEHIND: Advice(_WARN, "its agent does not take its orders", "look at the agent's log"),
    Finding.ACCOUNT_MISSING: Advice(
        _WARN,
        "this NATS does not let its agent in",
        "a centre pushes it within 30 s; is the resolver of type full?",
    ),
    Finding.CERTIFICATE_EXPIRED: Advice(_FAIL, "agents are turned away", "renew it, and reload the server"),
    Finding.CERTIFICATE_EXPIRES: Advice(
        _WARN, "then agents are turned away", "renew it, and reload the server"
    ),
    Finding.CERTIFICATE_UNTRUSTED: Advice(
        _WARN,
        "this machine does not trust it; agents may",
        "install its CA, or look whether the name in it is right",
    ),
    Finding.CLOCK_SKEWED: Advice(
        _WARN, "ages and times of alerts are off by as much", "synchronise that clock: chronyc tracking"
    ),
    Finding.NOBODY_LEADS: Advice(
        _FAIL, "nothing is decided", "is a centre running? Its log says why it does not take the lease"
    ),
    Finding.LEADERS_CHANGED: Advice(
        _WARN,
        "processes were started anew, or one of them loses its lease",
        "after an upgrade or a restart: nothing; else leading_given_up and lease_ended in their logs say why",
    ),
    Finding.LEADERS_FIGHT: Advice(
        _FAIL,
        "the lease changes hands again and again: slow processes, or a slow Postgres",
        "look at loop lag and at the time of commits; raise MUSTER_LEASE_SECONDS; until then one process"
        " alone serves better than several",
    ),
    Finding.REPLICAS_MISSING: Advice(
        _WARN,
        "fewer processes of the centre are there than were asked for: the next that dies may be the last",
        "look at those that do not start: kubectl get pods, or their logs; if fewer are meant,"
        " MUSTER_REPLICAS (replicas of the chart)",
    ),
    Finding.REPLICA_GONE: Advice(
        _WARN,
        "it was not stopped: it died, stands still, or does not reach Postgres",
        "start ABOUT again, or look at its log; where it is not to come back: nothing, an hour later it is"
        " told of no more",
    ),
    Finding.REPLICA_DEAF: Advice(
        _WARN,
        "NATS answers others, and not this one: it cannot lead, and takes itself out of what is asked",
        "on ABOUT: MUSTER_NATS_URL, its keys, and the way to NATS",
    ),
    Finding.ORDERS_UNPUBLISHED: Advice(
        _WARN,
        "decided, and not sent",
        "is NATS there, does the cluster beat, may its agent? muster get placements",
    ),
    Finding.ORDERS_UNACKNOWLEDGED: Advice(
        _WARN, "sent, and not recorded by its agent", "is it running? muster describe cluster ABOUT"
    ),
    Finding.DEAD_LETTERS: Advice(
        _WARN,
        "what it sends is not understood, and was set aside",
        "update the agent or the centre; the log says what",
    ),
    Finding.ALERTS_UNCONFIGURED: Advice(
        _WARN, "alerts are kept, and nobody is told", "muster serve --alerts-config FILE"
    ),
    Finding.ALERTS_CONFIG_INVALID: Advice(
        _FAIL,
        "the next start or reload refuses it; until then the one before holds",
        "put the line right, then reload",
    ),
    Finding.RECEIVER_FAILS: Advice(
        _FAIL,
        "people are not told by this way",
        "muster alerts deliveries --receiver ABOUT says what it answers",
    ),
    Finding.NOTICES_WAIT: Advice(
        _WARN, "messages are decided on and not sent", "does a process lead alerting?"
    ),
    Finding.CLUSTER_SILENT: Advice(
        _FAIL,
        "nothing new is placed there; what runs there goes on",
        "there: is the agent running, does it reach NATS? docs/operations/lose-a-cluster.md",
    ),
    Finding.CUT_OFF: Advice(
        _WARN, "over its bounds, it may not speak", "right it there: muster clusters readmit ABOUT"
    ),
    Finding.STATE_INCOMPLETE: Advice(
        _WARN, "nothing is placed there", "wait; if it stays, look at the agent's log"
    ),
    Finding.REPORTS_BEHIND: Advice(
        _WARN, "reports are lost on the way; they are asked for", "if it stays: STATE full?"
    ),
    Finding.SPOOL_DEEP: Advice(
        _WARN, "its alerts wait on its disk", "does a centre lead, is Postgres quick?"
    ),
    Finding.AGENT_AHEAD: Advice(
        _FAIL, "it holds orders that this database never issued", "muster recover ABOUT"
    ),
    Finding.AGENT_HOLDING: Advice(
        _WARN,
        "it was told to remove an unusual share of what it runs",
        "if that is meant: muster clusters release ABOUT; else put the intent right",
    ),
    Finding.AGENT_MAY_NOT: Advice(
        _WARN, "it lacks rights for what it is ordered", "widen its role: docs/operations/install.md"
    ),
    Finding.AGENT_OLDER: Advice(_WARN, "more than one release older", "update the agent"),
    Finding.AGENT_NEWER: Advice(
        _WARN, "newer than the centre", "update the centre first: docs/operations/upgrade.md"
    ),
    Finding.HEARD_ELSEWHERE: Advice(
        _WARN,
        "this process does not lead: beats go to another",
        "ask the leader, or stop at what is said here",
    ),
    Finding.CHECK_TIMED_OUT: Advice(
        _WARN, "no answer within its bound", "it is slow, or the way there is: try again"
    ),
    Finding.CHECK_FAILED: Advice(_WARN, "the check itself failed", "this is ours to mend: keep what it says"),
}
