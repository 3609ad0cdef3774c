"""The Kubernetes files: one cluster in all of them, locked down; and KubeRay's own schemas, where these are at hand.

KUBERAY_CRDS names a folder with ray.io_rayclusters.yaml, ray.io_rayjobs.yaml and ray.io_raycronjobs.yaml, from
ray-operator/config/crd/bases of the KubeRay release in use; without it those checks are skipped.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from jobs.nightly import arguments
from pipeline.config import load_config

FOLDER = Path(__file__).parents[2] / "infra" / "kuberay"
SCHEMAS = os.environ.get("KUBERAY_CRDS")


def read(name: str) -> dict[str, Any]:
    [document] = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    return document


CLUSTER, JOB, CRON = (read(name) for name in ("raycluster", "rayjob", "cronjob"))


def templates() -> list[dict[str, Any]]:
    """The pods of the nightly job: submitter, head, workers."""
    job = CRON["spec"]["jobTemplate"]
    cluster = job["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [job["submitterPodTemplate"], *(group["template"] for group in groups)]


def containers() -> Iterator[dict[str, Any]]:
    return (one for template in templates() for one in template["spec"]["containers"])


def test_one_cluster_in_all_three() -> None:
    assert CRON["spec"]["jobTemplate"] == JOB["spec"]
    assert JOB["spec"]["rayClusterSpec"] == CLUSTER["spec"]


def test_it_runs_the_ray_that_is_tested() -> None:
    assert CLUSTER["spec"]["rayVersion"] == version("ray")
    assert {c["image"] for c in containers()} == {
        f"voicemill:{version('voicemill')}",
        "prom/node-exporter:v1.9.1",
    }


def test_the_entrypoint_is_a_command_of_ours() -> None:
    python, module, name, *given = shlex.split(JOB["spec"]["entrypoint"])
    assert (python, module, name) == ("python", "-m", "jobs.nightly")
    options = arguments(given)
    assert options.config == "/etc/voicemill/job.toml"
    config = load_config((FOLDER / "job.toml").read_bytes())
    [workers] = CLUSTER["spec"]["workerGroupSpecs"]
    assert config.resources.engine_actors == workers["replicas"] == workers["minReplicas"]
    assert "job.toml" in read("kustomization")["configMapGenerator"][0]["files"]
    # it ends by itself before Kubernetes ends it
    assert tomllib.loads((FOLDER / "job.toml").read_text())["model"]["device"] == "cuda"
    assert JOB["spec"]["activeDeadlineSeconds"] > 9 * 3600 + 60


def test_pods_may_do_nothing_they_need_not() -> None:
    for template in templates():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not [volume for volume in spec.get("volumes", ()) if "hostPath" in volume]
    for container in containers():
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_secrets_are_references_only() -> None:
    assert CLUSTER["spec"]["authOptions"] == {"mode": "token", "secretName": "voicemill-ray-token"}
    names = {variable["name"] for container in containers() for variable in container.get("env", ())}
    assert not [name for name in names if any(word in name for word in ("KEY", "SECRET", "TOKEN", "PASS"))]
    assert not list(FOLDER.glob("*secret*"))


def test_workers_may_be_taken_back_and_the_head_may_not() -> None:
    head = CLUSTER["spec"]["headGroupSpec"]["template"]["spec"]
    [group] = CLUSTER["spec"]["workerGroupSpecs"]
    worker = group["template"]["spec"]
    assert head["nodeSelector"] == {"karpenter.sh/capacity-type": "on-demand"}
    assert worker["nodeSelector"] == {"karpenter.sh/capacity-type": "spot"}
    assert CLUSTER["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert worker["terminationGracePeriodSeconds"] <= 120  # EC2's notice
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in worker["tolerations"]
    for spec in (head, worker):
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= spec["containers"][0].keys()
    # the object store lies in the pod's memory, beside the models' own
    for each in (CLUSTER["spec"]["headGroupSpec"], group):
        limit = each["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
        assert (
            int(each["rayStartParams"]["object-store-memory"]) <= 0.3 * int(limit.removesuffix("Gi")) * 2**30
        )


def test_the_walls_let_in_whom_they_must() -> None:
    policy = read("network-policy")["spec"]
    labels = policy["podSelector"]["matchLabels"].items()
    for template in templates()[1:]:
        assert labels <= template["metadata"]["labels"].items()
    own, *others = policy["ingress"]
    assert "ports" not in own
    assert own["from"] == [{"podSelector": policy["podSelector"]}]
    assert {port["port"] for rule in others for port in rule["ports"]} == {8265, 52365, 9100}
    # what Prometheus scrapes is a port of the head
    [endpoint] = read("podmonitor")["spec"]["podMetricsEndpoints"]
    ports = {p["name"]: p["containerPort"] for c in containers() for p in c.get("ports", ())}
    assert ports[endpoint["port"]] == 9100


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
def test_kustomize_builds_it() -> None:
    built = subprocess.run(["kubectl", "kustomize", str(FOLDER)], capture_output=True, check=True).stdout
    kinds = {one["kind"]: one for one in yaml.safe_load_all(built)}
    assert set(kinds) == {"ConfigMap", "NetworkPolicy", "PodMonitor", "RayCronJob", "ServiceAccount"}
    mounted = [
        v["configMap"]["name"] for t in templates() for v in t["spec"].get("volumes", ()) if "configMap" in v
    ]
    assert mounted == [kinds["ConfigMap"]["metadata"]["name"]]


def unknown_fields(value: Any, schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """What the API server would drop without a word."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from unknown_fields(item, schema.get("items", {}), f"{at}[{i}]")
    elif isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        for key, item in value.items():
            below = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if below is None:
                yield f"{at}.{key}"
            elif isinstance(below, dict):
                yield from unknown_fields(item, below, f"{at}.{key}")


@pytest.mark.skipif(SCHEMAS is None, reason="KUBERAY_CRDS names no folder")
@pytest.mark.parametrize(
    ("document", "plural"),
    [(CLUSTER, "rayclusters"), (JOB, "rayjobs"), (CRON, "raycronjobs")],
    ids=lambda x: str(x)[:12],
)
def test_kuberay_takes_it(document: dict[str, Any], plural: str) -> None:
    crd = yaml.safe_load((Path(SCHEMAS or "") / f"ray.io_{plural}.yaml").read_text())
    [stored] = [one for one in crd["spec"]["versions"] if one["storage"]]
    assert document["apiVersion"] == f"ray.io/{stored['name']}"
    assert document["kind"] == crd["spec"]["names"]["kind"]
    schema = stored["schema"]["openAPIV3Schema"]
    jsonschema.Draft7Validator(schema).validate(document)
    spec = schema["properties"]["spec"]
    assert list(unknown_fields(document["spec"], spec)) == []
    # the check itself is awake
    assert list(unknown_fields({"noSuchField": 1}, spec)) == [".noSuchField"]
