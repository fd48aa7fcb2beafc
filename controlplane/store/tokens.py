"""Invitations to join, each for one cluster, once, until it expires."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.intent import JoinDraft, NotFound, Taken, Write
from controlplane.known.records import ClusterRecord, Standing
from controlplane.store import answered, changes, clusters
from controlplane.store.codecs import Connection, taints_of
from controlplane.store.settlement import changed, fingerprint

UNUSABLE = "this token is unknown, used or expired: ask for a new one"


@dataclass(frozen=True)
class Joining:
    """What a cluster brings when it joins. account_seed: sealed."""

    cluster: str
    cluster_uid: str
    agent_key: str
    sealing_key: bytes
    account_seed: bytes


async def invite(connection: Connection, draft: JoinDraft, write: Write) -> None:
    """Raises Taken where a cluster of that name is there, or the token was given before."""

    async def act() -> None:
        await _check_free(connection, "name", draft.name)
        given = await connection.fetchval(
            "insert into invitation (token_hash, name, labels, taints, invited_by, expires_at)"
            " values ($1, $2, $3, $4, $5, to_timestamp($6)) on conflict (token_hash) do nothing"
            " returning true",
            draft.token_hash,
            draft.name,
            draft.labels,
            draft.taints,
            write.principal,
            draft.expires_at,
        )
        if not given:
            raise Taken("this token was given before")
        await changes.append(connection, [changed("Cluster", draft.name, "", "Invited", write.principal)])

    # Not the token or its expiry: who asks again, not having seen the answer, makes new ones.
    content = fingerprint("invite cluster", draft.name, draft.labels, draft.taints)
    await answered.once(connection, write, content, type(None), act)


async def join(connection: Connection, token_hash: bytes, joining: Joining) -> ClusterRecord:
    """Raises NotFound, and Taken where the name, the account or the cluster itself is registered already.

    The answer to the first use may have been lost: the same agent may use the token again.
    """
    row = await connection.fetchrow(
        "select name, labels, taints from invitation where token_hash = $1 and redeemed_by is null"
        " and expires_at > clock_timestamp() for update",
        token_hash,
    )
    if row is None:
        return await _joined_before(connection, token_hash, joining)
    await _check_free(connection, "name", row["name"])
    await _check_free(connection, "cluster_uid", joining.cluster_uid)
    await _check_free(connection, "id", joining.cluster)
    await connection.execute(
        "update invitation set redeemed_by = $2 where token_hash = $1", token_hash, joining.cluster
    )
    joined = await connection.fetchrow(
        "insert into cluster (id, name, labels, taints, cluster_uid, agent_key, sealing_key, account_seed,"
        f" standing) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning {clusters.COLUMNS}",
        joining.cluster,
        row["name"],
        row["labels"],
        row["taints"],
        joining.cluster_uid,
        joining.agent_key,
        joining.sealing_key,
        joining.account_seed,
        Standing.JOINED.value,
    )
    assert joined is not None  # noqa: S101 - inserted
    record = clusters.record_of(dict(joined))
    await changes.append(connection, [clusters.cluster_changed(record, "Joined", record.name)])
    return record


async def _joined_before(connection: Connection, token_hash: bytes, joining: Joining) -> ClusterRecord:
    row = await connection.fetchrow(
        f"select {clusters.COLUMNS} from cluster"
        " where id = (select redeemed_by from invitation where token_hash = $1)"
        " and agent_key = $2 and cluster_uid = $3 and sealing_key = $4 and standing = $5",
        token_hash,
        joining.agent_key,
        joining.cluster_uid,
        joining.sealing_key,
        Standing.JOINED.value,
    )
    if row is None:
        raise NotFound(UNUSABLE)
    return clusters.record_of(dict(row))


async def _check_free(connection: Connection, column: str, value: str) -> None:
    name = await connection.fetchval(
        f"select name from cluster where {column} = $1 and ($2 or standing <> 'Removed')",
        value,
        column == "id",
    )
    if name is not None:
        raise Taken(taken_text(column, value, name))


def taken_text(column: str, value: str, name: str) -> str:
    """column: name, cluster_uid or id of a cluster, whose name is `name`."""
    if column == "name":
        return f"a cluster named {value!r} is registered already: remove it first, or take another name"
    return f"{column} {value!r} is registered already, as cluster {name!r}"


async def join_invitations(connection: Connection) -> Sequence[JoinDraft]:
    """Those that can still be redeemed, the next to expire first."""
    rows = await connection.fetch(
        "select token_hash, name, labels, taints, extract(epoch from expires_at)::float8 as expires_at"
        " from invitation where redeemed_by is null and expires_at > clock_timestamp() order by expires_at"
    )
    return [_draft_of(dict(row)) for row in rows]


def _draft_of(row: dict[str, Any]) -> JoinDraft:
    return JoinDraft(
        row["token_hash"], row["name"], row["labels"], taints_of(row["taints"]), row["expires_at"]
    )


async def expire(connection: Connection) -> None:
    """Forget what expired a day ago; a used one stays as long, so that its second use is seen to be one."""
    await connection.execute("delete from invitation where expires_at < clock_timestamp() - interval '1 day'")
