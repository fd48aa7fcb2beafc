"""The beat: the agent says how it stands, the centre answers what it lacks."""

import msgspec

from schemas.wire.orders import Version
from schemas.wire.reports import Report, Stamp


class Beat(Report, frozen=True, kw_only=True):
    """`beat.<cluster>`, a request.

    highest: the highest version that the agent has recorded, None for none.
    versions: every version held, only when the last reply asked for `versions`.
    digests: shard or subject tail -> (stamp, hash) of what was last published there, a few a beat.
    recorded: workload -> version of what was recorded since the last beat that was answered. This is what
    acknowledges orders; a report that bears the version does, too.
    brief: it comes between two others for `recorded` alone: it tells no digests, and is asked for nothing.
    orders_repeated: orders carried out though they had been before, since this process started.
    spool_depth: alert batches not yet under the watermark. clock: Unix seconds of the agent.
    """

    clock: float
    agent_version: str
    capabilities: list[str] = []
    highest: Version | None = None
    held: int = 0
    versions: dict[str, Version] | None = None
    digests: dict[str, tuple[Stamp, str]] = {}
    recorded: dict[str, Version] = {}
    brief: bool = False
    orders_repeated: int = 0
    spool_depth: int = 0
    holding: bool = False


class BeatReply(msgspec.Struct, frozen=True, kw_only=True):
    """epoch: of the leader that answers. incarnation: the highest the centre has seen of this cluster.

    alerts_committed: (incarnation, sequence) up to which alerts are committed; the spool trims to it.
    resend: tails of subjects to publish again (`facts`, `profile.<hash>`, `inventory.<shard>`,
    `usage.<shard>`, `work.<workload>`), `all`, or `versions` for the full list in the next beat.
    """

    epoch: int
    incarnation: int
    alerts_committed: Stamp = (0, 0)
    alerts_resend_from: Stamp | None = None
    resend: list[str] = []
    clock: float = 0.0
