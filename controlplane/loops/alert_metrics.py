"""What alerting counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class AlertMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Counter(
            "muster_alert_entries", "Entries of the log applied to this board", ["kind"], registry=registry
        )
        self.applied_alerts = Counter(
            "muster_alerts_applied", "Alerts applied to this board", registry=registry
        )
        self.lag = Gauge(
            "muster_alert_log_lag_entries", "Entries committed and not applied here", registry=registry
        )
        self.flushes = Counter("muster_alert_flushes", "Groups looked at", registry=registry)
        self.flush_seconds = Histogram(
            "muster_alert_flush_seconds", "Duration of the commit of a flush", registry=registry
        )
        self.notices = Counter(
            "muster_alert_notices", "Messages decided on", ["receiver", "why"], registry=registry
        )
        self.attempts = Counter(
            "muster_alert_attempts",
            "Attempts to deliver, by outcome",
            ["receiver", "integration", "outcome"],
            registry=registry,
        )
        self.failures = Counter(
            "muster_alert_deliveries_failed",
            "Messages given up",
            ["receiver", "integration"],
            registry=registry,
        )
        self.seconds = Histogram(
            "muster_alert_attempt_seconds", "Duration of an attempt", ["integration"], registry=registry
        )
        self.waiting = Gauge(
            "muster_alert_notices_waiting", "Messages that are not settled", registry=registry
        )
        self.leads = Gauge("muster_alerting_leads", "1 while this process notifies", registry=registry)
        self.checkpoint = Gauge(
            "muster_alert_checkpoint_entry", "Entry as of which the board is saved", registry=registry
        )
        self.switch = Counter(
            "muster_dead_mans_switch_calls", "Calls to the dead man's switch", ["outcome"], registry=registry
        )
        self.loaded = Gauge(
            "alertmanager_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
            registry=registry,
        )
        self.loaded_at = Gauge(
            "alertmanager_config_last_reload_success_timestamp_seconds",
            "Timestamp of the last successful configuration reload.",
            registry=registry,
        )
