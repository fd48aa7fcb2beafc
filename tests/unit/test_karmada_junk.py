"""Whatever stands in files for Karmada is taken, or refused by name: nothing else ever comes of it."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controlplane.interpreters import NotUnderstood, interpret
from controlplane.migration import Given, GivenPolicy, converted, given_object
from controlplane.placement.needs import needs_of
from controlplane.placement.overriding import Variants, check_overrides
from controlplane.placement.rules import ClusterView
from schemas.manifests import ManifestError
from schemas.manifests.karmada import is_karmadas, parse_policy

SAMPLE = Path(__file__).parents[2] / "deploy" / "karmada"
DOCUMENTS = [
    document for path in sorted(SAMPLE.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]
MORE = """
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: all}
spec:
  propagateDeps: true
  resourceSelectors:
    - {apiVersion: batch/v1, kind: Job}
    - {apiVersion: apps/v1, kind: StatefulSet, labelSelector: {matchLabels: {a: b}}}
    - {apiVersion: networking.k8s.io/v1, kind: Ingress}
    - {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler}
    - {apiVersion: policy/v1, kind: PodDisruptionBudget}
    - {apiVersion: v1, kind: ServiceAccount}
  placement: {clusterAffinities: [{affinityName: a, clusterNames: [x]}, {affinityName: b, labelSelector: {}}]}
---
apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: all, namespace: guestbook}
spec:
  resourceSelectors: [{apiVersion: batch/v1, kind: Job}]
  overrideRules:
    - overriders:
        argsOverrider: [{containerName: main, operator: add, value: [a]}]
        labelsOverrider: [{operator: add, value: {a: b}}]
        annotationsOverrider: [{operator: add, value: {a: b}}]
        plaintext: [{path: /spec/parallelism, operator: add, value: 1}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: one, namespace: guestbook, annotations: {a.io/b: c}}
spec:
  selector: {matchLabels: {controller-uid: x}}
  template:
    metadata: {labels: {controller-uid: x, app: one}}
    spec:
      serviceAccountName: robot
      containers: [{name: main, image: a, env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]}]
      volumes: [{name: v, projected: {sources: [{secret: {name: s}}]}}, {name: w, secret: {secretName: s}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: two, namespace: guestbook, labels: {a: b}}
spec:
  selector: {matchLabels: {app: two}}
  template:
    metadata: {labels: {app: two}}
    spec: {containers: [{name: main}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}
  volumeClaimTemplates: [{metadata: {name: data}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: three, namespace: guestbook}
spec: {tls: [{secretName: s}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: two, namespace: guestbook}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: two}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: two, namespace: guestbook}
spec: {selector: {matchLabels: {app: two}, matchExpressions: [{key: app, operator: Exists}]}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: guestbook}
secrets: [{name: robot-token-1}, {name: other}]
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: guestbook}
stringData: {k: v}
"""
DOCUMENTS += list(yaml.safe_load_all(MORE))
CLUSTERS = [ClusterView("c1", "cloud-eu"), ClusterView("c2", "dc-north")]
JUNK: list[Any] = [None, True, -1, 0.5, "", "x", "a/b", [], [None], ["x"], {}, {"x": None}, {"name": 7}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


EVERYWHERE = list(places(DOCUMENTS))


def understood(documents: list[Any]) -> None:
    """As `apply` and the service do, as far as neither needs the other."""
    policies: list[GivenPolicy] = []
    objects: list[Given] = []
    for index, each in enumerate(documents):
        if not isinstance(each, dict) or not isinstance(each.get("apiVersion"), str):
            continue
        if is_karmadas(each):
            policies.append(GivenPolicy(parse_policy(each, "f", index), "f", index))
        else:
            objects.append(given_object(each, "f", index))
    for workload in converted(policies, objects).workloads:
        interpretation = interpret(workload.spec.manifests)
        needs = needs_of(workload.spec, interpretation.components)
        check_overrides(Variants.of(workload.spec, interpretation, needs), CLUSTERS)


@given(st.sampled_from(EVERYWHERE), st.sampled_from(JUNK))
def test_junk_anywhere_is_taken_or_refused_by_name(path: tuple[Any, ...], junk: Any) -> None:
    documents = copy.deepcopy(DOCUMENTS)
    parent: Any = documents
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = junk
    try:
        understood(documents)
    except (ManifestError, NotUnderstood) as error:
        refused = str(error)
    else:
        refused = "taken"
    assert refused


def test_the_sample_itself_is_taken() -> None:
    understood(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_each_document_is_for_karmada_or_kubernetes(document: dict[str, Any]) -> None:
    assert not document["apiVersion"].startswith("muster.dev")
