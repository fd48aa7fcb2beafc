"""Since when the expressions of alert rules hold."""

from collections.abc import Mapping, Sequence

from controlplane.alerts.rules import Key
from controlplane.store.codecs import Connection, clean, transposed

_Held = tuple[str, Key]


async def read_pending(connection: Connection) -> dict[_Held, float]:
    rows = await connection.fetch("select rule, labels, since from alert_rule_pending")
    return {(row["rule"], tuple(sorted(row["labels"].items()))): row["since"] for row in rows}


async def write_pending(connection: Connection, begun: Mapping[_Held, float], ended: Sequence[_Held]) -> None:
    await connection.execute(
        "insert into alert_rule_pending select * from unnest($1::text[], $2::jsonb[], $3::float8[])"
        " on conflict (rule, labels) do update set since = excluded.since",
        *transposed([(*_columns(held), at) for held, at in begun.items()], 3),
    )
    await connection.execute(
        "delete from alert_rule_pending using unnest($1::text[], $2::jsonb[]) as ended (rule, labels)"
        " where alert_rule_pending.rule = ended.rule and alert_rule_pending.labels = ended.labels",
        *transposed([_columns(held) for held in ended], 2),
    )


def _columns(held: _Held) -> tuple[str, dict[str, str]]:
    return clean(held[0]), dict(held[1])
