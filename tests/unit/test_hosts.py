"""A DSN that names several servers, taken apart."""

import pytest

from controlplane.store.hosts import single

ONE = "postgresql://muster:a%40b@db:5432/muster?target_session_attrs=read-write"


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        pytest.param(ONE, [ONE], id="one host"),
        pytest.param("postgresql://u@a,b/muster", ["postgresql://u@a,b/muster"], id="any of them will do"),
        pytest.param(
            "postgresql://u:p%2Cq@a:1,b:2/muster?target_session_attrs=read-write&sslmode=require",
            [
                "postgresql://u:p%2Cq@a:1/muster?target_session_attrs=read-write&sslmode=require",
                "postgresql://u:p%2Cq@b:2/muster?target_session_attrs=read-write&sslmode=require",
            ],
            id="in its place",
        ),
        pytest.param(
            "postgresql://u@[::1]:1,[::2]:2/m?target_session_attrs=primary",
            [
                "postgresql://u@[::1]:1/m?target_session_attrs=primary",
                "postgresql://u@[::2]:2/m?target_session_attrs=primary",
            ],
            id="IPv6",
        ),
        pytest.param(
            "postgresql://u@/m?host=a,b&port=5433&target_session_attrs=read-write",
            [
                "postgresql://u@a:5433/m?target_session_attrs=read-write",
                "postgresql://u@b:5433/m?target_session_attrs=read-write",
            ],
            id="as parameters",
        ),
    ],
)
def test_hosts_of_a_dsn(dsn: str, hosts: list[str]) -> None:
    assert single(dsn) == hosts
