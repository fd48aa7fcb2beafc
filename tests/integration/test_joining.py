"""A token lets one cluster in, once."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from agents.bus import Identity
from agents.bus import NatsBus as AgentBus
from agents.ports import BusUnavailable
from controlplane.api.ports import Joined, JoinRequest
from controlplane.identity.nkey import KeyKind, NKey
from controlplane.identity.tokens import JoinToken, join_token
from controlplane.intent import JoinDraft, NotFound, Taken, Write
from controlplane.joining import Registrar
from controlplane.known.known import Known
from controlplane.store.store import PostgresStore
from tests.installation import NatsInstallation

pytestmark = pytest.mark.promise(5)


@pytest_asyncio.fixture
async def store(database: str) -> AsyncGenerator[PostgresStore, None]:
    opened = PostgresStore(database)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def registrar(store: PostgresStore, nats_installation: NatsInstallation) -> Registrar:
    return Registrar(
        keys=nats_installation.keys,
        subjects=nats_installation.subjects,
        intent=store,
        seeds=store,
        admission=nats_installation.bus,
        nats_urls=(nats_installation.url,),
        random_bytes=os.urandom,
        now=time.time,
    )


async def invited(store: PostgresStore, name: str, valid_seconds: float = 60.0) -> JoinToken:
    token = join_token(secrets.token_bytes(32))
    draft = JoinDraft(token.hash, name, {}, (), time.time() + valid_seconds)
    await store.invite_cluster(draft, Write("tester"))
    return token


def request(token: JoinToken, agent: NKey, uid: str) -> JoinRequest:
    return JoinRequest(
        token_hash=token.hash, agent_key=agent.public, sealing_key=secrets.token_bytes(32), cluster_uid=uid
    )


def new_agent() -> NKey:
    return NKey.from_random(KeyKind.USER, secrets.token_bytes(32))


async def speaks(installation: NatsInstallation, joined: Joined, agent: NKey) -> None:
    bus = AgentBus(
        joined.nats_urls, Identity(joined.cluster_id, joined.user_jwt, agent.seed), installation.subjects
    )
    await bus.publish([(installation.subjects.facts(joined.cluster_id), b"here")])
    await bus.close()


async def test_one_that_joined_speaks(
    store: PostgresStore, registrar: Registrar, nats_installation: NatsInstallation
) -> None:
    agent = new_agent()
    joined = await registrar.join(request(await invited(store, "one"), agent, "uid-1"))
    await speaks(nats_installation, joined, agent)


async def test_a_token_that_was_used_lets_nobody_else_in(store: PostgresStore, registrar: Registrar) -> None:
    token = await invited(store, "one")
    await registrar.join(request(token, new_agent(), "uid-1"))
    with pytest.raises((NotFound, Taken)):
        await registrar.join(request(token, new_agent(), "uid-2"))


async def test_of_many_at_the_same_moment_one_gets_in(store: PostgresStore, registrar: Registrar) -> None:
    token = await invited(store, "one")
    attempts = [registrar.join(request(token, new_agent(), f"uid-{number}")) for number in range(8)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes].count("Joined") == 1
    assert all(isinstance(outcome, Joined | NotFound | Taken) for outcome in outcomes)


async def test_one_that_expired_lets_nobody_in(store: PostgresStore, registrar: Registrar) -> None:
    token = await invited(store, "one", valid_seconds=-1)
    with pytest.raises(NotFound):
        await registrar.join(request(token, new_agent(), "uid-1"))


async def test_an_unknown_one_lets_nobody_in(registrar: Registrar) -> None:
    with pytest.raises(NotFound):
        await registrar.join(request(join_token(secrets.token_bytes(32)), new_agent(), "uid-1"))


async def test_a_nats_that_forgot_every_account_is_told_them_again(
    store: PostgresStore, registrar: Registrar, nats_installation: NatsInstallation
) -> None:
    agent = new_agent()
    joined = await registrar.join(request(await invited(store, "one"), agent, "uid-1"))
    await nats_installation.bus.cut_off(joined.cluster_id)
    known = Known()
    known.replace_records(await store.load())
    readmitting = asyncio.create_task(registrar.readmit_silent(known))
    async with asyncio.timeout(90):
        while True:
            try:
                await speaks(nats_installation, joined, agent)
                break
            except BusUnavailable:
                await asyncio.sleep(0.02)
    readmitting.cancel()
