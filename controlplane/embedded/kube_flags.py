"""The command lines of a small Kubernetes control plane on loopback, and the files that they name."""

import json
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.kube_assets import KubeAssets

STAGES = Path(__file__).with_name("kwok_stages.yaml")
SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class ControlPlaneLayout:
    """Folder, ports and token of one control plane; every file of it has its name here."""

    folder: Path
    etcd_port: int
    api_port: int
    token: str

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def authority(self) -> Path:
        """The server writes its own certificate and the authority it made for it into one file."""
        return self.certificates / "apiserver.crt"

    @property
    def service_account_key(self) -> Path:
        """The server's own key: made before the server first reads this flag, it signs tokens as well."""
        return self.certificates / "apiserver.key"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

    def write_tokens(self) -> None:
        """One identity: admin, who may do anything."""
        _write_private(self.tokens, f'{self.token},admin,admin,"system:masters"\n')

    def write_kubeconfig(self) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "clusters": [{"name": "embedded", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "embedded", "context": {"cluster": "embedded", "user": "admin"}}],
        }
        _write_private(self.kubeconfig, json.dumps(config, indent=1))


def etcd_command(assets: KubeAssets, layout: ControlPlaneLayout) -> list[str]:
    """Without fsync: a power cut may lose it, and it is thrown away anyway. No peer listens."""
    client = f"http://127.0.0.1:{layout.etcd_port}"
    return [
        str(assets.etcd),
        "--name=embedded",
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",
        "--snapshot-count=10000",
        "--log-level=warn",
    ]


def api_server_command(assets: KubeAssets, layout: ControlPlaneLayout) -> list[str]:
    command = [
        str(assets.kube_apiserver),
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.api_port}",
        f"--cert-dir={layout.certificates}",
        f"--token-auth-file={layout.tokens}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={SERVICE_ACCOUNT_ISSUER}",
        f"--service-account-signing-key-file={layout.service_account_key}",
        f"--service-account-key-file={layout.service_account_key}",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    if assets.kube_controller_manager is None:
        # Nobody makes a namespace's account "default" then, and every pod would be refused for want of it.
        command.append("--disable-admission-plugins=ServiceAccount")
    return command


def controller_manager_command(binary: Path, layout: ControlPlaneLayout) -> list[str]:
    return [
        str(binary),
        f"--kubeconfig={layout.kubeconfig}",
        f"--service-account-private-key-file={layout.service_account_key}",
        f"--root-ca-file={layout.authority}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--horizontal-pod-autoscaler-sync-period=2s",
        "--profiling=false",
    ]


def scheduler_command(binary: Path, layout: ControlPlaneLayout) -> list[str]:
    return [
        str(binary),
        f"--kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]


def kwok_command(binary: Path, layout: ControlPlaneLayout) -> list[str]:
    return [
        str(binary),
        f"--kubeconfig={layout.kubeconfig}",
        f"--config={STAGES}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
    ]


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
