"""Makes the dashboard for Grafana: `python deploy/dashboards/make.py > deploy/dashboards/muster.json`.

A panel is a line below: title, unit, and its queries with their legends.
"""

import json
import sys
from typing import Any

LEADER = "* on (job, instance) muster_leads"
ROWS: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "Who leads": [
        ("Decides", "short", {"muster_leads": "{{instance}}"}),
        ("Tells people", "short", {"muster_alerting_leads": "{{instance}}"}),
        ("Ready", "short", {"muster_ready": "{{instance}}"}),
        ("Clusters by standing", "short", {"max by (standing) (muster_clusters)": "{{standing}}"}),
    ],
    "Loops": [
        ("Passes", "ops", {"sum by (loop) (rate(muster_loop_passes_total[$__rate_interval]))": "{{loop}}"}),
        (
            "Errors",
            "ops",
            {
                "sum by (loop, reason) (rate(muster_loop_errors_total[$__rate_interval]))": (
                    "{{loop}} {{reason}}"
                )
            },
        ),
        (
            "Duration of a pass, p99",
            "s",
            {
                "histogram_quantile(0.99, sum by (loop, le)"
                " (rate(muster_loop_pass_seconds_bucket[$__rate_interval])))": "{{loop}}"
            },
        ),
        (
            "From wake-up to pass, p99",
            "s",
            {
                "histogram_quantile(0.99, sum by (loop, le)"
                " (rate(muster_loop_wait_seconds_bucket[$__rate_interval])))": "{{loop}}"
            },
        ),
        (
            "Lag of the event loop, p99",
            "s",
            {
                "histogram_quantile(0.99, sum by (instance, le)"
                " (rate(muster_loop_lag_seconds_bucket[$__rate_interval])))": "{{instance}}"
            },
        ),
        ("What waits in line", "short", {"max by (loop) (muster_loop_depth)": "{{loop}}"}),
        ("What is due waits for", "s", {"max by (loop) (muster_loop_behind_seconds)": "{{loop}}"}),
    ],
    "Placement": [
        (
            "Decisions by reason",
            "ops",
            {"sum by (reason) (rate(muster_decisions_total[$__rate_interval]))": "{{reason}}"},
        ),
        (
            "Workloads by last decision",
            "short",
            {f"sum by (reason) (muster_workloads {LEADER})": "{{reason}}"},
        ),
        ("Workloads to decide on", "short", {f"max(muster_workloads_undecided {LEADER})": "undecided"}),
        (
            "Outbox",
            "short",
            {
                f"max(muster_orders_unpublished {LEADER})": "not published",
                f"max(muster_orders_unacknowledged {LEADER})": "not recorded by an agent",
            },
        ),
        ("Orders", "ops", {"sum by (outcome) (rate(muster_orders_total[$__rate_interval]))": "{{outcome}}"}),
        (
            "Ledger differences",
            "short",
            {"sum(increase(muster_ledger_differences_total[$__rate_interval]))": "differences"},
        ),
    ],
    "Clusters": [
        ("Lost", "s", {"max by (cluster) (muster_cluster_lost_seconds)": "{{cluster}}"}),
        ("Silent longest", "s", {f"max(muster_beat_oldest_seconds {LEADER})": "oldest beat"}),
        (
            "Reports",
            "ops",
            {"sum by (kind, outcome) (rate(muster_reports_total[$__rate_interval]))": "{{kind}} {{outcome}}"},
        ),
        ("Streams not read yet", "short", {"max by (stream) (muster_stream_lag_messages)": "{{stream}}"}),
        (
            "Dead letters",
            "short",
            {"sum by (kind) (increase(muster_dead_letters_total[$__rate_interval]))": "{{kind}}"},
        ),
        (
            "Spooled for the centre",
            "short",
            {"topk(10, max by (cluster) (muster_spool_depth_batches))": "{{cluster}}"},
        ),
    ],
    "Quota": [
        (
            "Used of what is granted, the fullest",
            "percentunit",
            {
                "topk(10, max by (tenant, flavor, resource) (muster_quota_used)"
                " / (max by (tenant, flavor, resource) (muster_quota_nominal) > 0))": (
                    "{{tenant}} {{flavor}} {{resource}}"
                )
            },
        ),
        (
            "Borrowed",
            "short",
            {
                "topk(10, max by (tenant, flavor, resource) (muster_quota_borrowed) > 0)": (
                    "{{tenant}} {{flavor}} {{resource}}"
                )
            },
        ),
    ],
    "Alerts": [
        (
            "In",
            "ops",
            {
                "sum(rate(muster_alerts_committed_total[$__rate_interval]))": "of agents",
                "sum(rate(muster_alerts_posted_total[$__rate_interval]))": "at the centre's door",
                "sum(rate(muster_alerts_refused_total[$__rate_interval]))": "refused",
            },
        ),
        (
            "Messages to people",
            "ops",
            {
                "sum by (integration, outcome) (rate(muster_alert_attempts_total[$__rate_interval]))": (
                    "{{integration}} {{outcome}}"
                )
            },
        ),
        (
            "Given up",
            "short",
            {
                "sum by (receiver) (increase(muster_alert_deliveries_failed_total[$__rate_interval]))": (
                    "{{receiver}}"
                )
            },
        ),
        ("Waiting to be sent", "short", {"max(muster_alert_notices_waiting)": "messages"}),
        ("Behind the log", "short", {"max by (instance) (muster_alert_log_lag_entries)": "{{instance}}"}),
        (
            "Duration of an attempt, p99",
            "s",
            {
                "histogram_quantile(0.99, sum by (integration, le)"
                " (rate(muster_alert_attempt_seconds_bucket[$__rate_interval])))": "{{integration}}"
            },
        ),
    ],
    "API and processes": [
        (
            "Requests",
            "reqps",
            {
                "sum by (method, status) (rate(muster_http_requests_total[$__rate_interval]))": (
                    "{{method}} {{status}}"
                )
            },
        ),
        (
            "Until the answer begins, p99",
            "s",
            {
                "histogram_quantile(0.99, sum by (route, le)"
                " (rate(muster_http_request_seconds_bucket[$__rate_interval])))": "{{route}}"
            },
        ),
        ("Memory", "bytes", {"process_resident_memory_bytes": "{{job}} {{instance}}"}),
        ("CPU", "percentunit", {"rate(process_cpu_seconds_total[$__rate_interval])": "{{job}} {{instance}}"}),
    ],
    "Agents that this Prometheus scrapes": [
        ("Acts", "short", {"muster_agent_acting": "{{job}} {{instance}}"}),
        ("Spool", "percentunit", {"muster_agent_spool_fullness_ratio": "{{job}} {{instance}}"}),
        ("Centre silent", "s", {"muster_agent_centre_silent_seconds": "{{job}} {{instance}}"}),
        (
            "Alerts at the door",
            "ops",
            {"sum by (outcome) (rate(muster_agent_alerts_total[$__rate_interval]))": "{{outcome}}"},
        ),
        (
            "Orders",
            "ops",
            {"sum by (outcome) (rate(muster_agent_orders_total[$__rate_interval]))": "{{outcome}}"},
        ),
        ("Workloads", "short", {"sum by (state) (muster_agent_workloads)": "{{state}}"}),
    ],
}
COLUMNS, WIDTH, HEIGHT = 3, 8, 7
SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": COLUMNS * WIDTH, "x": 0, "y": top}
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place})
        top += 1
        for position, (name, unit, queries) in enumerate(row):
            down, across = divmod(position, COLUMNS)
            place = {"h": HEIGHT, "w": WIDTH, "x": across * WIDTH, "y": top + down * HEIGHT}
            panels.append(panel(name, unit, queries, place))
        top += HEIGHT * (-(-len(row) // COLUMNS))
    for number, each in enumerate(panels, 1):
        each["id"] = number
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "title": "Muster",
        "uid": "muster",
        "tags": ["muster"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {"list": [source]},
        "annotations": {"list": []},
        "panels": panels,
    }


def panel(title: str, unit: str, queries: dict[str, str], place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for number, (query, legend) in enumerate(queries.items())
        ],
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2)
    sys.stdout.write("\n")
