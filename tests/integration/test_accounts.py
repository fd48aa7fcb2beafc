"""A cluster reads and writes only what is its own: attacked on a real server, by everything that is known."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.errors import Error as NatsError

from agents.bus import NatsBus as AgentBus
from agents.ports import BusUnavailable as AgentBusUnavailable
from controlplane.bus import Credentials, NatsBus, StreamBounds
from controlplane.bus.streams import stream_names
from controlplane.embedded import EmbeddedNats
from controlplane.identity import accounts, jwt, keys
from controlplane.identity.nkey import KeyKind, NKey
from controlplane.identity.server_configuration import Trust
from controlplane.loops.ports import BusUnavailable, StreamBatch
from schemas.wire.subjects import Subjects
from tests.installation import JoinedCluster, NatsInstallation
from tests.integration.attacker import Attacker, anything_inside, connect, saying
from tests.integration.attacks import ATTACKS, UNREADABLE

pytestmark = pytest.mark.promise(5)

BOUND_SECONDS = 10.0
FUTURE = int(time.time()) + 60
"""Issued later than what is there, so that it is not its age that has it refused."""
SECRET = b"only-for-the-victim"


@dataclass
class World:
    """One installation with a victim that has a report, an alert and an order, and an attacker beside it."""

    installation: NatsInstallation
    victim: JoinedCluster
    victim_bus: AgentBus
    centre: Client
    attacker: Attacker
    attacker_account: accounts.ClusterAccount
    speakers: list[str]

    async def request(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        reply = await self.centre.request(subject, json.dumps(body or {}).encode(), timeout=5)
        return json.loads(reply.data)

    async def snapshot(self) -> dict[str, Any]:
        """Every stream's configuration and consumers, and every message that bears the victim's id."""
        taken: dict[str, Any] = {}
        for stream in stream_names(self.installation.subjects):
            info = await self.request(f"$JS.API.STREAM.INFO.{stream}")
            consumers = await self.request(f"$JS.API.CONSUMER.LIST.{stream}")
            taken[stream] = {
                "created": info["created"],
                "config": info["config"],
                "consumers": [
                    {part: consumer[part] for part in ("name", "config", "created")}
                    for consumer in consumers["consumers"]
                ],
                "messages": await self._messages(stream, info["state"]),
            }
        progress = await self.request(
            f"$JS.API.CONSUMER.INFO.{self.installation.subjects.orders_stream}.{self.victim.id}"
        )
        taken["victim's consumer"] = {
            part: progress[part] for part in ("delivered", "ack_floor", "num_pending", "num_ack_pending")
        }
        return taken

    async def _messages(self, stream: str, state: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            answer = await self.request(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": sequence})
            message = answer.get("message", {})
            if (
                f".{self.victim.id}" in message.get("subject", "")
                and self.attacker.own not in message["subject"]
            ):
                found.append(message)
        return found

    async def victim_goes_on(self) -> None:
        """It reports, is heard, gets its order, acknowledges it and beats, as if nobody else were there."""
        subjects = self.installation.subjects
        await self.victim_bus.publish(
            [(subjects.facts(self.victim.id), SECRET + b" later"), (subjects.alert(self.victim.id), SECRET)]
        )
        (order,) = await self.victim_bus.next_orders(limit=10, timeout_seconds=5)
        assert order.body == SECRET
        await order.acknowledge()
        assert (
            await self.victim_bus.beat(SECRET, timeout_seconds=5) == b"answer to " + self.victim.id.encode()
        )
        reports = await read_all(self.installation.bus.follow_reports(usage=False))
        assert reports[subjects.facts(self.victim.id)] == SECRET + b" later"
        alerts = await read_all(self.installation.bus.follow_alerts())
        assert alerts[subjects.alert(self.victim.id)] == SECRET


async def read_all(batches: AsyncIterator[StreamBatch]) -> dict[str, bytes]:
    """The last message of each subject."""
    read: dict[str, bytes] = {}
    async with asyncio.timeout(BOUND_SECONDS):
        async for batch in batches:
            read |= {message.subject: message.body for message in batch.messages}
            if batch.caught_up:
                return read
    raise AssertionError("the stream ended")


@pytest_asyncio.fixture
async def world(nats_installation: NatsInstallation) -> AsyncGenerator[World, None]:
    installation, subjects = nats_installation, nats_installation.subjects
    victim, attacker = await installation.join(), await installation.join()
    victim_bus = installation.agent_bus(victim)
    speakers: list[str] = []

    async def answer(cluster: str, _: bytes) -> bytes:
        speakers.append(cluster)
        return b"answer to " + cluster.encode()

    await installation.bus.serve_beats(answer)
    for cluster, body in ((victim.id, SECRET), (attacker.id, b"for the attacker")):
        await installation.bus.renew_consumer(cluster)
        await installation.bus.publish_order(cluster, "w", body, expected_sequence=0)
    await victim_bus.publish(
        [
            (subject, SECRET)
            for subject in (
                subjects.facts(victim.id),
                subjects.usage(victim.id, "1-0"),
                subjects.alert(victim.id),
                subjects.meter(victim.id),
            )
        ]
    )
    own = installation.keys
    centre_user = accounts.service_user_jwt(own.centre_account, own.centre_user, "test", int(time.time()))
    centre = await connect(installation.url, Credentials(centre_user, own.centre_user))
    hostile = await connect(installation.url, anything_inside(attacker))
    yield World(
        installation=installation,
        victim=victim,
        victim_bus=victim_bus,
        centre=centre,
        attacker=Attacker(hostile, subjects, attacker.id, victim.id, own.centre_account.public),
        attacker_account=attacker.account,
        speakers=speakers,
    )
    for client in (hostile, centre, victim_bus):
        await client.close()


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_changes_nothing_of_anothers_and_hears_nothing_of_it(world: World, name: str) -> None:
    before = await world.snapshot()
    await ATTACKS[name](world.attacker)
    assert await world.snapshot() == before
    assert world.victim.id not in world.speakers
    await world.victim_goes_on()
    for heard in world.attacker.heard:
        assert SECRET not in heard
        assert world.victim.id.encode() not in heard


async def test_the_attacker_would_hear_what_it_may(world: World) -> None:
    """Else the table above would prove nothing."""
    for own, expected in (
        (saying("$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.{own}", {"batch": 1}), b"for the attacker"),
        (saying("{prefix}.state.{own}.facts", b"mine"), b'"seq"'),
        (saying("{prefix}.beat.{own}", b"mine"), b"answer to " + world.attacker.own.encode()),
    ):
        world.attacker.heard.clear()
        await own(world.attacker)
        assert any(expected in heard for heard in world.attacker.heard)


async def test_many_unreadable_messages_do_not_keep_the_centre_from_the_others(world: World) -> None:
    """More than one pull brings, so that a reader that cannot get past them would never arrive."""
    for number in range(1200):
        subject = b"%s.state.%s.\xff\x0b%d" % (
            world.installation.subjects.prefix.encode(),
            world.attacker.own.encode(),
            number,
        )
        await world.attacker.send_raw(subject, UNREADABLE)
    await world.attacker.client.flush()
    await world.victim_goes_on()


class TestUsers:
    @pytest.mark.parametrize("subject", [">", "_R_.>", "$SYS.>"])
    async def test_the_agents_own_user_may_listen_to_its_inboxes_only(
        self, world: World, subject: str
    ) -> None:
        violations = asyncio.Queue[str]()
        joined = await world.installation.join()
        client = await connect(
            world.installation.url, Credentials(joined.user_jwt, joined.user), violations.put_nowait
        )
        await client.subscribe(subject)
        assert "permissions violation" in await asyncio.wait_for(violations.get(), BOUND_SECONDS)
        await client.close()

    @pytest.mark.parametrize("signer", ["the attacker's user", "the attacker's account", "another operator"])
    async def test_a_user_of_the_victims_that_the_centre_did_not_issue_is_not_let_in(
        self, world: World, signer: str
    ) -> None:
        user = new_key(KeyKind.USER)
        issuer = {
            "the attacker's user": user,
            "the attacker's account": world.attacker_account.signing,
            "another operator": new_key(KeyKind.OPERATOR),
        }[signer]
        nats = {"type": "user", "issuer_account": world.victim.id, "subs": -1, "data": -1, "payload": -1}
        forged = jwt.encode(user.public, "forged", nats, issuer, int(time.time()))
        with pytest.raises(NatsError):
            await connect(world.installation.url, Credentials(forged, user))

    async def test_the_victims_jwt_is_of_no_use_without_its_key(self, world: World) -> None:
        with pytest.raises(NatsError):
            await connect(world.installation.url, Credentials(world.victim.user_jwt, new_key(KeyKind.USER)))

    async def test_connections_of_one_cluster_are_bounded(self, world: World) -> None:
        joined = await world.installation.join()
        open_ones = [
            await connect(world.installation.url, anything_inside(joined))
            for _ in range(accounts.ClusterLimits().connections)
        ]
        with pytest.raises(NatsError):
            await connect(world.installation.url, anything_inside(joined))
        await world.victim_goes_on()
        for client in open_ones:
            await client.close()


class TestAccounts:
    @pytest.mark.parametrize("signer", ["the attacker", "another operator"])
    @pytest.mark.parametrize("pusher", ["the attacker", "the system account"])
    async def test_one_that_our_operator_did_not_sign_opens_nothing(
        self, world: World, signer: str, pusher: str
    ) -> None:
        issuer = world.attacker_account.signing if signer == "the attacker" else new_key(KeyKind.OPERATOR)
        taken_over = replace(world.attacker_account, id=world.victim.id)
        forged = accounts.cluster_account_jwt(
            replace(world.installation.keys, operator=issuer), taken_over, world.installation.subjects, FUTURE
        )
        if pusher == "the attacker":
            await world.attacker.say("$SYS.REQ.CLAIMS.UPDATE", forged.encode())
            await world.attacker.say(f"$SYS.REQ.ACCOUNT.{world.victim.id}.CLAIMS.UPDATE", forged.encode())
        else:
            await world.installation.bus.push_account(forged)
        user = new_key(KeyKind.USER)
        issued = accounts.cluster_user_jwt(taken_over, user.public, world.installation.subjects, FUTURE)
        with pytest.raises(NatsError):
            await connect(world.installation.url, Credentials(issued, user))
        await world.victim_goes_on()

    async def test_an_import_of_anothers_subjects_does_nothing_though_the_operator_signs_it(
        self, world: World
    ) -> None:
        """Should the centre ever sign a wrong account, the exports still tell whose token it must be."""
        own, subjects = world.installation.keys, world.installation.subjects
        signed = jwt.decode(accounts.cluster_account_jwt(own, world.attacker_account, subjects, FUTURE))
        nats = signed["nats"]
        for entry in nats["imports"]:
            for part in ("name", "subject"):
                entry[part] = entry[part].replace(world.attacker.own, world.victim.id)
        wrong = jwt.encode(world.attacker.own, "wrong", nats, own.operator, FUTURE)
        before = await world.snapshot()
        try:
            await world.installation.bus.push_account(wrong)
        except BusUnavailable:
            pass
        for name in ("a report as another", "pull as another", "acknowledge for another"):
            await ATTACKS[name](world.attacker)
        assert await world.snapshot() == before
        await world.victim_goes_on()
        assert not any(SECRET in heard for heard in world.attacker.heard)

    async def test_cut_off_ends_the_connection_and_admitting_again_lets_it_come_back(
        self, world: World
    ) -> None:
        installation = world.installation
        cluster = await installation.join()
        agent = installation.agent_bus(cluster)
        report = [(installation.subjects.facts(cluster.id), b"report")]
        await agent.publish(report)
        await installation.bus.cut_off(cluster.id)
        await until_refused(agent, report)
        # It stays out, however often it knocks.
        for _ in range(3):
            with pytest.raises(AgentBusUnavailable):
                await agent.publish(report)
        await world.victim_goes_on()
        await installation.bus.admit(cluster.account)
        await until_taken(agent, report)
        await agent.close()

    async def test_a_cut_off_survives_a_restart_of_the_server(self, tmp_path: Path) -> None:
        own, subjects = keys.generate(), Subjects("again")
        trust = Trust.of(own, (subjects,), int(time.time()))
        async with EmbeddedNats(tmp_path / "nats", trust) as server:
            bus = NatsBus([server.url], own, subjects, time.time, StreamBounds())
            await bus.open()
            installation = NatsInstallation(server.url, own, subjects, bus)
            kept, cut = await installation.join(), await installation.join()
            await bus.cut_off(cut.id)
            await server.stop()
            await server.start()
            kept_agent, cut_agent = installation.agent_bus(kept), installation.agent_bus(cut)
            await until_taken(kept_agent, [(subjects.facts(kept.id), b"report")])
            with pytest.raises(AgentBusUnavailable):
                await cut_agent.publish([(subjects.facts(cut.id), b"report")])
            for closing in (kept_agent, cut_agent, bus):
                await closing.close()


async def until_refused(agent: AgentBus, report: Sequence[tuple[str, bytes]]) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            try:
                await agent.publish(report)
            except AgentBusUnavailable:
                return


async def until_taken(agent: AgentBus, report: Sequence[tuple[str, bytes]]) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            try:
                return await agent.publish(report)
            except AgentBusUnavailable:
                await asyncio.sleep(0.02)


def new_key(kind: KeyKind) -> NKey:
    return NKey.from_random(kind, secrets.token_bytes(32))
