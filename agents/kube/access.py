"""Where the API server is and what to show it: a pod's service account, or a kubeconfig file."""

import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from agents.kube.tokens import (
    AccessError,
    ExecCommand,
    Token,
    fixed_token,
    show_certificate,
    token_from_command,
    token_from_file,
)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class KubeAccess:
    """`server` is a URL without a trailing slash; `server_name` replaces its host in the TLS handshake."""

    server: str
    tls: ssl.SSLContext | None
    token: Token
    server_name: str | None = None


class _Cluster(msgspec.Struct, rename="kebab"):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str = ""


class _User(msgspec.Struct, rename="kebab"):
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: ExecCommand | None = None
    auth_provider: Any = None
    username: str = ""
    impersonated: str = msgspec.field(default="", name="as")


class _Context(msgspec.Struct):
    cluster: str = ""
    user: str = ""


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct):
    name: str
    user: _User


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


class _Kubeconfig(msgspec.Struct, rename="kebab"):
    current_context: str = ""
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []


def find_access(
    kubeconfig: str = "", context: str = "", environment: Mapping[str, str] = os.environ
) -> KubeAccess:
    """The file that is named, else the service account of this pod, else KUBECONFIG or ~/.kube/config.

    Raises AccessError.
    """
    if kubeconfig:
        return kubeconfig_access(Path(kubeconfig), context)
    if "KUBERNETES_SERVICE_HOST" in environment:
        return in_cluster_access(environment)
    named = environment.get("KUBECONFIG", "").split(os.pathsep)[0]
    return kubeconfig_access(Path(named or os.path.expanduser("~/.kube/config")), context)


def in_cluster_access(
    environment: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT
) -> KubeAccess:
    """Raises AccessError where this is no pod with a service account."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise AccessError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod")
    token, authority = service_account / "token", service_account / "ca.crt"
    for path in (token, authority):
        if not path.is_file():
            raise AccessError(f"{path} is missing: the pod mounts no service account token")
    address = f"[{host}]" if ":" in host else host
    return KubeAccess(f"https://{address}:{port}", _tls(authority.read_text()), token_from_file(token))


def kubeconfig_access(path: Path, context: str = "") -> KubeAccess:
    """One context of a kubeconfig: the current one where none is named. Raises AccessError."""
    config = _load(path)
    name = context or config.current_context
    chosen = next((one.context for one in config.contexts if one.name == name), None)
    if chosen is None:
        raise AccessError(f"{path}: contexts has no {name!r}")
    cluster = next((one.cluster for one in config.clusters if one.name == chosen.cluster), None)
    if cluster is None:
        raise AccessError(f"{path}: clusters has no {chosen.cluster!r}, which context {name!r} names")
    user = next((one.user for one in config.users if one.name == chosen.user), None)
    if user is None and chosen.user:
        raise AccessError(f"{path}: users has no {chosen.user!r}, which context {name!r} names")
    return _access(path, cluster, user or _User())


def _access(path: Path, cluster: _Cluster, user: _User) -> KubeAccess:
    unsupported = {
        "cluster.proxy-url": cluster.proxy_url,
        "user.auth-provider": user.auth_provider,
        "user.username": user.username,
        "user.as": user.impersonated,
    }
    if named := [field for field, value in unsupported.items() if value]:
        raise AccessError(f"{path}: {', '.join(named)} is not supported")
    if not cluster.server.startswith(("https://", "http://")):
        raise AccessError(f"{path}: cluster.server must be an http(s) URL, not {cluster.server!r}")
    tls = None
    if cluster.server.startswith("https://"):
        authority = _pem(
            path, "certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority
        )
        tls = _tls(authority, verify=not cluster.insecure_skip_tls_verify)
        show_certificate(
            tls,
            _pem(path, "client-certificate", user.client_certificate_data, user.client_certificate),
            _pem(path, "client-key", user.client_key_data, user.client_key),
        )
    return KubeAccess(cluster.server.rstrip("/"), tls, _token_of(path, user, tls), cluster.tls_server_name)


def _token_of(path: Path, user: _User, tls: ssl.SSLContext | None) -> Token:
    if user.exec is not None:
        return token_from_command(user.exec, tls)
    if user.token_file:
        return token_from_file(path.parent / user.token_file)
    return fixed_token(user.token)


def _load(path: Path) -> _Kubeconfig:
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), _Kubeconfig)
    except OSError as error:
        raise AccessError(f"kubeconfig {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise AccessError(f"kubeconfig {path} is not YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise AccessError(f"kubeconfig {path}: {error}") from None


def _pem(path: Path, field: str, data: str, file: str) -> str:
    """`data` in base64, else the content of `file`, relative to the kubeconfig's folder; "" for neither."""
    try:
        if data:
            return base64.b64decode(data, validate=True).decode()
        return (path.parent / file).read_text() if file else ""
    except (binascii.Error, UnicodeDecodeError):
        raise AccessError(f"{path}: {field}-data is not PEM in base64") from None
    except OSError as error:
        raise AccessError(f"{path}: {field} {file}: {error.strerror}") from None


def _tls(authority: str, *, verify: bool = True) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=authority or None)
    except ssl.SSLError as error:
        raise AccessError(f"the cluster's certificate authority is not PEM: {error.reason}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
