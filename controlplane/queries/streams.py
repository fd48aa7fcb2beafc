"""The streams as readers see them: what came, what is missing, what was sent."""

from controlplane.known.known import Known
from controlplane.known.records import ClusterRecord
from controlplane.queries.paging import Page, Query
from controlplane.queries.rows import StreamRow
from controlplane.queries.tables import Table

STREAMS: Table[StreamRow] = Table(
    fields={
        "cluster": lambda row: row.cluster,
        "reports_behind": lambda row: row.reports_behind,
        "spool_depth": lambda row: row.spool_depth,
    },
    identity=lambda row: row.cluster,
)


def list_streams(known: Known, query: Query) -> Page[StreamRow]:
    return STREAMS.page((stream_row(known, record) for record in known.clusters.values()), query)


def stream_row(known: Known, record: ClusterRecord) -> StreamRow:
    traffic, heard = known.traffic[record.id], known.heard.get(record.id)
    return StreamRow(
        cluster=record.name,
        subjects=len(known.stamps.get(record.id, {})),
        reports_received=traffic.reports_received,
        reports_behind=len(known.behind(record.id)),
        orders_sent=traffic.orders_sent,
        orders_carried_out=traffic.orders_carried_out,
        orders_repeated=heard.beat.orders_repeated if heard else 0,
        spool_depth=heard.beat.spool_depth if heard else 0,
        alerts_committed=known.alert_watermarks.get(record.id, (0, 0)),
    )
