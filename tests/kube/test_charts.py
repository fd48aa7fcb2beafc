"""Charts: linted, rendered, refused by name, and taken by a real API server that holds to restricted pods."""

import copy
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import yaml

from controlplane.embedded.kube import KubeControlPlane
from controlplane.settings import Settings
from tests.kube.charts import AGENT, AGENT_VALUES, CENTRE, CENTRE_VALUES, Helm, Object, Refused, helm

__all__ = ["helm"]
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
NAMESPACE = "charts-centre"
TOKEN_LINE = f"ada admin {'0' * 64}"

SPLIT: Object = {
    "deployments": {
        "all": None,
        "leading": {
            "replicas": 2,
            "loops": ["deciding", "alerting"],
            "resources": {"limits": {"memory": "4Gi"}},
        },
        "api": {"replicas": 3, "loops": ["api"], "nodeSelector": {"zone": "dmz"}},
    }
}
EVERYTHING: Object = {
    "image": {"repository": "muster", "digest": f"sha256:{'a' * 64}"},
    "tokens": {"existingSecret": "", "lines": [TOKEN_LINE]},
    "alerts": {"config": "route: {receiver: none}\nreceivers: [{name: none}]\n"},
    "publicUrl": "https://muster.example.com",
    "ingress": {"enabled": True, "host": "muster.example.com", "tlsSecret": "tls", "className": "nginx"},
    "settings": {"beatLostSeconds": 60, "prefix": "m2"},
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]},
    "topologySpreadConstraints": [
        {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    ],
}
IN_TWO: Object = {"rbac": {"namespaces": ["shop", "blog"]}, "replicas": 3}
AGENT_EVERYTHING: Object = {
    "join": {"token": "", "existingSecret": "token-of-this-cluster"},
    "cluster": {"provider": "aws", "region": "eu-1", "labels": {"tier": "gold"}},
    "rbac": {"extraRules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["create"]}]},
    "fallback": {"fallback": [{"receiver": "siren", "matchers": ['a="b"'], "url": "http://siren"}]},
    "eventRules": {"events": []},
    "settings": {"beatSeconds": 5, "logJson": False},
    "persistence": {"size": "5Gi", "storageClass": "fast"},
    "networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1/32"]}, "extraEgress": [{"ports": [{"port": 8080}]}]},
    "priorityClassName": "system-cluster-critical",
}


@pytest.mark.parametrize(
    ("chart", "namespace", "values"),
    [(CENTRE, NAMESPACE, CENTRE_VALUES), (AGENT, "muster-system", AGENT_VALUES)],
    ids=["centre", "agent"],
)
def test_lint_finds_nothing(helm: Helm, chart: Path, namespace: str, values: Object) -> None:
    assert "[ERROR]" not in helm.lint(chart, namespace, values)


@pytest.mark.parametrize(
    ("chart", "values", "named"),
    [
        (CENTRE, {}, "nats.urls: the addresses of your NATS servers are needed"),
        (CENTRE, {"nats": {"urls": ["http://nats:4222"]}}, "/nats/urls/0"),
        (CENTRE, CENTRE_VALUES | {"postgres": {}}, "postgres.existingSecret: a Secret with the DSN"),
        (CENTRE, CENTRE_VALUES | {"keys": {}}, "keys.existingSecret"),
        (CENTRE, CENTRE_VALUES | {"tokens": {}}, "tokens.existingSecret: without tokens nobody"),
        (CENTRE, CENTRE_VALUES | {"tokens": {"lines": ["ada admin secret"]}}, "/tokens/lines/0"),
        (CENTRE, CENTRE_VALUES | {"replicas": 3}, "'replicas' not allowed"),
        (
            CENTRE,
            CENTRE_VALUES | {"deployments": {"all": {"replicas": 0, "loops": ["api"]}}},
            "/deployments/all",
        ),
        (
            CENTRE,
            CENTRE_VALUES | {"deployments": {"all": {"replicas": 1, "loops": ["placing"]}}},
            "/deployments/all/loops/0",
        ),
        (
            CENTRE,
            CENTRE_VALUES | {"deployments": {"all": {"replicas": 1, "loops": ["api", "deciding"]}}},
            "deployments: none has the loop alerting",
        ),
        (CENTRE, CENTRE_VALUES | {"ingress": {"enabled": True}}, "ingress.host: needed where"),
        (CENTRE, CENTRE_VALUES | {"podMonitor": {"enabled": True}}, "podMonitor.tokenSecret.name"),
        (AGENT, {"join": {"token": "t"}}, "centre.url: how this cluster reaches"),
        (AGENT, {"centre": {"url": "muster.example.com"}}, "/centre/url"),
        (AGENT, {"replicas": 0}, "/replicas"),
        (AGENT, {"keysSecret": ""}, "keysSecret: several replicas share"),
        (
            AGENT,
            AGENT_VALUES | {"join": {"token": "t", "existingSecret": "s"}},
            "join.token and join.existing",
        ),
        (AGENT, {"rbac": {"namespaces": ["Shop"]}}, "/rbac/namespaces/0"),
        (AGENT, {"rbac": {"kinds": [{"resources": ["pods"]}]}}, "missing property 'apiGroup'"),
        (AGENT, {"persistence": {"size": "1"}}, "/persistence/size"),
        (
            AGENT,
            {"networkPolicy": {"centre": {"cidrs": ["muster.example.com"]}}},
            "/networkPolicy/centre/cidrs/0",
        ),
    ],
)
def test_bad_values_are_refused_by_name(helm: Helm, chart: Path, values: Object, named: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.template(chart, "muster-system", values)
    assert named in str(refused.value)


def test_the_agent_is_installed_where_it_keeps_its_records(helm: Helm) -> None:
    with pytest.raises(Refused, match="install it there"):
        helm.template(AGENT, "elsewhere", AGENT_VALUES)


@pytest.mark.parametrize("chart", [CENTRE, AGENT], ids=["centre", "agent"])
def test_the_version_of_a_chart_is_that_of_the_project(chart: Path) -> None:
    import tomllib

    project = tomllib.loads((chart.parents[2] / "pyproject.toml").read_text())["project"]
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (described["version"], described["appVersion"]) == (project["version"], project["version"])


def test_settings_of_the_centre_are_settings(helm: Helm) -> None:
    """What the chart sets exists: a name that nobody reads would be set in vain."""
    rendered = helm.template(CENTRE, NAMESPACE, CENTRE_VALUES, EVERYTHING)
    names = {each["name"] for each in containers(rendered)[0]["env"] if each["name"].startswith("MUSTER_")}
    assert {each.removeprefix("MUSTER_").lower() for each in names} <= Settings.model_fields.keys()


def test_settings_of_the_agent_are_settings(helm: Helm) -> None:
    from agents.settings import AgentSettings

    rendered = helm.template(AGENT, "muster-system", AGENT_VALUES, AGENT_EVERYTHING, IN_TWO)
    env = {each["name"]: each.get("value", "") for each in containers(rendered)[0]["env"]}
    given = {name.removeprefix("MUSTER_AGENT_").lower(): value for name, value in env.items()}
    assert given.keys() <= AgentSettings.model_fields.keys()
    read = AgentSettings.model_validate_strings({**given, "namespaces": [], "labels": {}})
    assert (read.beat_seconds, read.log_json) == (5.0, False)
    assert given["namespaces"] == '["shop","blog"]'


def test_processes_are_split_and_only_those_of_the_api_are_served(helm: Helm) -> None:
    rendered = helm.template(CENTRE, NAMESPACE, CENTRE_VALUES, SPLIT)
    deployments = {each["metadata"]["name"]: each for each in rendered if each["kind"] == "Deployment"}
    assert deployments.keys() == {"muster-leading", "muster-api"}
    service = next(each for each in rendered if each["kind"] == "Service")
    labels = {
        name: each["spec"]["template"]["metadata"]["labels"].items() for name, each in deployments.items()
    }
    assert [name for name, each in labels.items() if service["spec"]["selector"].items() <= each] == [
        "muster-api"
    ]
    loops = {
        name: next(env["value"] for env in containers([each])[0]["env"] if env["name"] == "MUSTER_LOOPS")
        for name, each in deployments.items()
    }
    assert loops == {"muster-leading": "deciding,alerting", "muster-api": "api"}
    budgets = [each["spec"]["selector"] for each in rendered if each["kind"] == "PodDisruptionBudget"]
    assert len(budgets) == 2


def test_the_pod_monitor_shows_the_token_of_a_viewer(helm: Helm) -> None:
    monitored: Object = {"podMonitor": {"enabled": True, "tokenSecret": {"name": "viewer", "key": "token"}}}
    rendered = helm.template(CENTRE, NAMESPACE, CENTRE_VALUES, monitored)
    found = next(each for each in rendered if each["kind"] == "PodMonitor")
    endpoint = found["spec"]["podMetricsEndpoints"][0]
    assert endpoint["authorization"] == {"credentials": {"name": "viewer", "key": "token"}}


@pytest.mark.promise(8)
def test_nobody_outside_its_cluster_reaches_an_agent(helm: Helm) -> None:
    rendered = helm.template(AGENT, "muster-system", AGENT_VALUES)
    assert not [each for each in rendered if each["kind"] == "Ingress"]
    assert {each["spec"].get("type", "ClusterIP") for each in rendered if each["kind"] == "Service"} == {
        "ClusterIP"
    }
    policy = next(each for each in rendered if each["kind"] == "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [list(peer) for rule in policy["ingress"] for peer in rule["from"]] == [["namespaceSelector"]]
    shut = helm.template(AGENT, "muster-system", AGENT_VALUES, {"alerts": {"service": False}})
    assert "ingress" not in next(each for each in shut if each["kind"] == "NetworkPolicy")["spec"]


def test_the_agent_may_write_nothing_that_no_value_names(helm: Helm) -> None:
    nothing: Object = {
        "rbac": {"kinds": [], "resourceQuotas": False, "createNamespaces": False},
    }
    rendered = helm.template(AGENT, "muster-system", AGENT_VALUES, nothing)
    roles = {each["metadata"]["name"]: each["rules"] for each in rendered if each["kind"] == "ClusterRole"}
    assert not roles["muster-agent-write"]
    verbs = {verb for rule in roles["muster-agent-observe"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    bound = [
        each
        for each in helm.template(AGENT, "muster-system", AGENT_VALUES, IN_TWO)
        if "Binding" in each["kind"]
    ]
    write = [each for each in bound if each["roleRef"]["name"] == "muster-agent-write"]
    assert {(each["kind"], each["metadata"].get("namespace")) for each in write} == {
        ("RoleBinding", "shop"),
        ("RoleBinding", "blog"),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(kube_api: KubeControlPlane) -> AsyncGenerator[httpx.AsyncClient]:
    """With the namespaces of the charts, which hold to restricted pods."""
    async with kube_api.client() as client:
        for name in (NAMESPACE, "muster-system", "shop", "blog"):
            labels = RESTRICTED if name in (NAMESPACE, "muster-system") else {}
            await client.post("/api/v1/namespaces", json={"metadata": {"name": name}})
            patch = {"metadata": {"labels": labels}}
            headers = {"content-type": "application/merge-patch+json"}
            (await client.patch(f"/api/v1/namespaces/{name}", json=patch, headers=headers)).raise_for_status()
        yield client
        for name in (NAMESPACE, "shop", "blog"):
            await client.delete(f"/api/v1/namespaces/{name}")
        cleared = {"metadata": {"labels": dict.fromkeys(RESTRICTED)}}
        await client.patch("/api/v1/namespaces/muster-system", json=cleared, headers=headers)


@pytest.mark.parametrize(
    ("chart", "namespace", "values"),
    [
        pytest.param(CENTRE, NAMESPACE, [CENTRE_VALUES], id="centre"),
        pytest.param(CENTRE, NAMESPACE, [CENTRE_VALUES, SPLIT], id="centre, split"),
        pytest.param(CENTRE, NAMESPACE, [CENTRE_VALUES, EVERYTHING], id="centre with everything"),
        pytest.param(AGENT, "muster-system", [AGENT_VALUES], id="agent"),
        pytest.param(AGENT, "muster-system", [AGENT_VALUES, IN_TWO], id="agent of two namespaces"),
        pytest.param(AGENT, "muster-system", [AGENT_VALUES, AGENT_EVERYTHING], id="agent with everything"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_real_api_server_takes_all_of_it(
    helm: Helm, server: httpx.AsyncClient, chart: Path, namespace: str, values: list[Object]
) -> None:
    """A dry run by the server, no field unknown, and each pod as the server would let it in."""
    for each in helm.template(chart, namespace, *values):
        await dry_run(server, each)
        template = each.get("spec", {}).get("template")
        if template is not None and each["kind"] in ("Deployment", "StatefulSet"):
            await dry_run(server, pod_of(each, template))


async def dry_run(server: httpx.AsyncClient, manifest: Object) -> None:
    path = await path_of(server, manifest)
    parameters = {"dryRun": "All", "fieldValidation": "Strict"}
    answer = await server.post(path, params=parameters, json=manifest)
    what = f"{manifest['kind']} {manifest['metadata']['name']}"
    assert answer.status_code == httpx.codes.CREATED, f"{what}: {answer.text}"
    assert "warning" not in answer.headers, f"{what}: {answer.headers['warning']}"


async def path_of(server: httpx.AsyncClient, manifest: Object) -> str:
    version = manifest["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    served = (await server.get(root)).raise_for_status().json()["resources"]
    resource = next(each for each in served if each["kind"] == manifest["kind"] and "/" not in each["name"])
    where = f"/namespaces/{manifest['metadata']['namespace']}" if resource["namespaced"] else ""
    return f"{root}{where}/{resource['name']}"


def pod_of(owner: Object, template: Object) -> Object:
    """The first that its controller would make. Its account is not there in a dry run: any will do."""
    spec = copy.deepcopy(template["spec"])
    spec["serviceAccountName"] = "default"
    for claim in owner["spec"].get("volumeClaimTemplates", ()):
        name = claim["metadata"]["name"]
        spec["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": f"{name}-0"}})
    metadata = template["metadata"] | {
        "name": f"{owner['metadata']['name']}-0",
        "namespace": owner["metadata"]["namespace"],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def containers(rendered: list[Object]) -> list[Object]:
    pods = [
        each["spec"]["template"]["spec"] for each in rendered if each["kind"] in ("Deployment", "StatefulSet")
    ]
    return [container for pod in pods for container in pod["containers"]]
