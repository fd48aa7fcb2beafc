"""Everything that a doctor may find."""

from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(StrEnum):
    """Why a check is not ok. One that is not is never without one of these."""

    # The way to the centre
    API_UNREACHABLE = "ApiUnreachable"
    API_REFUSES = "ApiRefuses"
    API_OLDER = "ApiOlder"
    API_NEWER = "ApiNewer"
    NOT_READY = "NotReady"
    LOOP_LAGS = "LoopLags"
    # Where it runs
    SETTINGS_INVALID = "SettingsInvalid"
    NOTHING_HERE = "NothingHere"
    KEYS_MISSING = "KeysMissing"
    KEYS_OPEN = "KeysOpen"
    KEYS_OF_ANOTHER = "KeysOfAnother"
    DISK_SCARCE = "DiskScarce"
    DISK_FULL = "DiskFull"
    # Postgres
    POSTGRES_UNREACHABLE = "PostgresUnreachable"
    POSTGRES_REFUSES = "PostgresRefuses"
    POSTGRES_OLD = "PostgresOld"
    POSTGRES_READ_ONLY = "PostgresReadOnly"
    POSTGRES_NOT_DURABLE = "PostgresNotDurable"
    NO_STANDBY = "NoStandby"
    STANDBY_LAGS = "StandbyLags"
    DATABASE_EMPTY = "DatabaseEmpty"
    DATABASE_BEHIND = "DatabaseBehind"
    DATABASE_NEWER = "DatabaseNewer"
    CONNECTIONS_SCARCE = "ConnectionsScarce"
    TRANSACTION_LONG = "TransactionLong"
    LEDGER_UNEQUAL = "LedgerUnequal"
    # NATS
    NATS_UNREACHABLE = "NatsUnreachable"
    NATS_REFUSES = "NatsRefuses"
    NATS_OLD = "NatsOld"
    JETSTREAM_OFF = "JetStreamOff"
    STREAM_MISSING = "StreamMissing"
    STREAM_DIFFERS = "StreamDiffers"
    STREAM_FILLS = "StreamFills"
    STREAM_FULL = "StreamFull"
    STREAM_ONCE = "StreamOnce"
    CONSUMER_MISSING = "ConsumerMissing"
    CONSUMER_BEHIND = "ConsumerBehind"
    ACCOUNT_MISSING = "AccountMissing"
    CERTIFICATE_EXPIRED = "CertificateExpired"
    CERTIFICATE_EXPIRES = "CertificateExpires"
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted"
    # Who decides, and what is on its way
    CLOCK_SKEWED = "ClockSkewed"
    NOBODY_LEADS = "NobodyLeads"
    LEADERS_CHANGED = "LeadersChanged"
    LEADERS_FIGHT = "LeadersFight"
    ORDERS_UNPUBLISHED = "OrdersUnpublished"
    ORDERS_UNACKNOWLEDGED = "OrdersUnacknowledged"
    DEAD_LETTERS = "DeadLetters"
    # Alerts
    ALERTS_UNCONFIGURED = "AlertsUnconfigured"
    ALERTS_CONFIG_INVALID = "AlertsConfigInvalid"
    RECEIVER_FAILS = "ReceiverFails"
    NOTICES_WAIT = "NoticesWait"
    # A cluster
    CLUSTER_SILENT = "ClusterSilent"
    CUT_OFF = "CutOff"
    STATE_INCOMPLETE = "StateIncomplete"
    REPORTS_BEHIND = "ReportsBehind"
    SPOOL_DEEP = "SpoolDeep"
    AGENT_AHEAD = "AgentAhead"
    AGENT_HOLDING = "AgentHolding"
    AGENT_MAY_NOT = "AgentMayNot"
    AGENT_OLDER = "AgentOlder"
    AGENT_NEWER = "AgentNewer"
    HEARD_ELSEWHERE = "HeardElsewhere"
    # The doctor itself
    CHECK_TIMED_OUT = "CheckTimedOut"
    CHECK_FAILED = "CheckFailed"
