"""A kubeconfig that cannot be used is refused with the field that is at fault."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.kube import AccessError, find_access, in_cluster_access, kubeconfig_access
from agents.kube.tokens import ExecCommand, token_from_command, token_from_file

Config = dict[str, Any]


def config(cluster: Config | None = None, user: Config | None = None) -> Config:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
    }


async def test_the_current_context_names_server_and_token(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    (tmp_path / "token").write_text("from a file\n")
    path.write_text(yaml.safe_dump(config({"tls-server-name": "api"}, {"tokenFile": "token"})))
    access = find_access(environment={"KUBECONFIG": str(path)})
    assert (access.server, access.server_name) == ("https://127.0.0.1:6443", "api")
    assert await access.token() == "from a file"


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no mapping": (lambda: ["a"], "Expected `object`"),
    "no context of that name": (lambda: {**config(), "current-context": "there"}, "contexts has no 'there'"),
    "no cluster of that name": (lambda: {**config(), "clusters": []}, "clusters has no 'c'"),
    "no user of that name": (lambda: {**config(), "users": []}, "users has no 'u'"),
    "no URL": (lambda: config({"server": "127.0.0.1"}), "cluster.server must be"),
    "a number for a token": (lambda: config(user={"token": 7}), r"users\[0\].user.token"),
    "a proxy": (lambda: config({"proxy-url": "http://p"}), "cluster.proxy-url is not supported"),
    "somebody else's name": (lambda: config(user={"as": "root"}), "user.as is not supported"),
    "an auth provider": (lambda: config(user={"auth-provider": {"name": "x"}}), "user.auth-provider"),
    "an authority that is no base64": (
        lambda: config({"certificate-authority-data": "!"}),
        "certificate-authority-data is not PEM in base64",
    ),
    "an authority that is no PEM": (
        lambda: config({"certificate-authority-data": base64.b64encode(b"no").decode()}),
        "certificate authority is not PEM",
    ),
    "an authority that is not there": (
        lambda: config({"certificate-authority": "ca.crt"}),
        "certificate-authority ca.crt: No such file",
    ),
    "a key that is no key": (
        lambda: config(user=dict.fromkeys(("client-certificate-data", "client-key-data"), "bm8=")),
        "client-certificate and client-key do not fit",
    ),
}


@pytest.mark.parametrize(("make", "named"), REFUSED.values(), ids=list(REFUSED))
def test_a_kubeconfig_is_refused_by_its_field(tmp_path: Path, make: Callable[[], Any], named: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(make()))
    with pytest.raises(AccessError, match=named):
        kubeconfig_access(path)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="absent: No such file"):
        find_access(str(tmp_path / "absent"))


def test_outside_a_pod_there_is_no_service_account(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="this is no pod"):
        in_cluster_access({}, tmp_path)
    with pytest.raises(AccessError, match="token is missing"):
        in_cluster_access({"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "443"}, tmp_path)


@pytest.mark.parametrize(
    ("command", "named"),
    [("never-installed-here", "No such file"), ("true", "printed no ExecCredential")],
)
async def test_a_command_that_prints_no_credential_is_named(command: str, named: str) -> None:
    with pytest.raises(AccessError, match=f"{command}.*{named}"):
        await token_from_command(ExecCommand(command), None)()


async def test_a_token_that_was_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    token = token_from_file(path)
    assert await token() == "first"
    path.write_text("second")
    assert await token() == "first"
    monkeypatch.setattr("agents.kube.tokens.TOKEN_REREAD_SECONDS", 0.0)
    assert await token() == "second"
