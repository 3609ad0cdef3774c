"""Imports point down only, Ray stays at the edge, storage has one door, modules stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")])

# top to bottom; a module may import its own layer's modules and those below
LAYERS = [
    {"jobs", "pipeline.cli", "pipeline.commands"},
    {"pipeline.command_options"},
    {"pipeline.steps"},
    {"pipeline.flow"},
    {"pipeline.report", "pipeline.narration", "pipeline.dubbing", "pipeline.dataset"},
    {"pipeline.programme"},
    {"pipeline.beforehand", "pipeline.views", "pipeline.progress"},
    {"pipeline.actors", "pipeline.tasks"},
    {"pipeline.board", "pipeline.telemetry"},
    {
        "pipeline.attempts",
        "pipeline.rounds",
        "pipeline.run",
        "pipeline.run_engine",
        "pipeline.plan",
        "pipeline.preflight",
        "pipeline.prompt_cache",
        "pipeline.results",
        "pipeline.export",
        "pipeline.commit",
        "pipeline.destination",
        "pipeline.garbage",
        "pipeline.lease",
        "pipeline.identity",
        "pipeline.withdrawal",
    },
    {"pipeline.stages", "pipeline.training"},
    {
        "pipeline.engine",
        "pipeline.codecs",
        "pipeline.evaluators",
        "pipeline.metrics",
        "pipeline.manifest",
        "pipeline.manifest_columns",
        "pipeline.consent",
        "pipeline.watermark",
    },
    {
        "pipeline.audio",
        "pipeline.decoding",
        "pipeline.decoding_worker",
        "pipeline.fetching",
        "pipeline.local_files",
        "pipeline.provenance",
        "pipeline.redaction",
        "pipeline.sources",
        "pipeline.storage",
        "pipeline.store_faults",
        "pipeline.uri_rules",
        "pipeline.uris",
    },
    {
        "pipeline.records",
        "pipeline.config",
        "pipeline.settings",
        "pipeline.errors",
        "pipeline.extras",
        "pipeline.interrupts",
        "pipeline.languages",
        "pipeline.ray_settings",
        "pipeline.reported",
        "pipeline",
    },
]
RAY_ALLOWED = {"pipeline.flow", "pipeline.actors"}
STORAGE_ALLOWED_STAGES = {"pipeline.stages.load_prompt", "pipeline.stages.load_utterance"}
FILESYSTEM_PACKAGES = {"fsspec", "s3fs", "boto3", "botocore", "obstore"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found


def layer_of(module: str) -> int:
    names = [module.rsplit(".", i)[0] for i in range(module.count(".") + 1)]
    for name in names:
        for depth, layer in enumerate(LAYERS):
            if name in layer:
                return depth
    raise AssertionError(f"{module} is in no layer: give it one")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_down(path: Path) -> None:
    module = module_name(path)
    depth = layer_of(module)
    for imported in imports_of(path):
        if imported.split(".")[0] in ("pipeline", "jobs") and imported not in ("pipeline",):
            if imported == "pipeline.__version__":
                continue
            if module == "pipeline" and layer_of(imported) < depth:
                continue  # the package's public names
            assert layer_of(imported) >= depth, f"{module} imports {imported} from above"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_ray_stays_at_the_edge(path: Path) -> None:
    module = module_name(path)
    uses_ray = any(name.split(".")[0] == "ray" for name in imports_of(path))
    assert not uses_ray or module in RAY_ALLOWED or module.startswith("jobs")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_storage_is_the_only_door(path: Path) -> None:
    module, imported = module_name(path), imports_of(path)
    if module != "pipeline.storage":
        assert not {name.split(".")[0] for name in imported} & FILESYSTEM_PACKAGES
    if module.startswith("pipeline.stages") and module not in STORAGE_ALLOWED_STAGES:
        assert not any(name.startswith("pipeline.storage") for name in imported)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
