"""The launcher's file by Ray's own validation, and what a schema does not say: spot, identity, closed ports."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # as in flow.py: read when ray is imported
FOLDER = Path(__file__).parents[2] / "infra" / "ray"


@pytest.fixture
def config() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / "cluster.yaml").read_text())
    return read


def test_ray_takes_it(config: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(config)
    validate_config(prepared)
    # nothing of Ray's own defaults was mixed in that would weaken it
    assert prepared["available_node_types"].keys() == {"head", "gpu-spot"}
    assert prepared["auth"]["ssh_proxy_command"].startswith("aws ec2-instance-connect open-tunnel")


def test_ray_refuses_what_is_wrong(config: dict[str, Any]) -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    config["available_node_types"]["gpu-spot"]["min_wokers"] = 4
    with pytest.raises(jsonschema.ValidationError, match="min_wokers"):
        validate_config(prepare_config(config))


def test_the_head_stays_and_workers_are_spot(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    assert config["head_node_type"] == "head"
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["gpu-spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert types["gpu-spot"]["min_workers"] == types["gpu-spot"]["max_workers"] == config["max_workers"]
    assert "--num-cpus=0" in config["head_start_ray_commands"][1]


def test_nothing_is_reachable_and_every_call_needs_the_token(config: dict[str, Any]) -> None:
    assert config["provider"]["use_internal_ips"] is True
    for of_type in config["available_node_types"].values():
        node = of_type["node_config"]
        # Ray makes a group of its own, with ssh open to the world, only where none is named
        assert node["SecurityGroupIds"]
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in node["BlockDeviceMappings"])
    assert "security_group" not in config["provider"]
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][1]
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    [target] = config["file_mounts"]
    assert target.endswith("/.ray/auth_token")
    assert f"chmod 600 {target}" in config["setup_commands"]


def test_it_runs_our_image(config: dict[str, Any]) -> None:
    assert config["docker"]["image"].endswith(f"/voicemill:{version('voicemill')}")


def test_the_head_starts_and_ends_its_own_workers_only() -> None:
    statements = json.loads((FOLDER / "policy-head.json").read_text())["Statement"]
    changing = [s for s in statements if s["Sid"] not in ("LookAround", "OutOfThese")]
    assert all(statement.get("Condition") for statement in changing)
    actions = {
        a for s in statements for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
    }
    assert not [action for action in actions if "*" in action]
