from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest
from transformers import HiggsAudioV2Config

from pipeline.engine.prompt_config import PromptConfig
from pipeline.errors import CheckpointError


def test_what_a_file_leaves_out_is_what_transformers_takes() -> None:
    theirs = HiggsAudioV2Config.from_dict({"model_type": "higgs_audio_v2"})
    ours = PromptConfig.from_json({"model_type": "higgs_audio_v2"}, "x")
    assert {f.name: getattr(ours, f.name) for f in fields(ours)} == {
        f.name: getattr(theirs, f.name) for f in fields(ours)
    }


def test_what_a_file_says_counts() -> None:
    raw = {"model_type": "higgs_audio_v2", "num_codebooks": 12, "audio_token_id": 7, "hidden_size": 64}
    config = PromptConfig.from_json(raw, "x")
    assert (config.num_codebooks, config.audio_token_id) == (12, 7)


@pytest.mark.parametrize("value", [None, "8", 8.0, True, 0, [8]])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(CheckpointError, match=r"x: config\.json has num_codebooks = "):
        PromptConfig.from_json({"model_type": "higgs_audio_v2", "num_codebooks": value}, "x")


def test_a_driver_that_checks_a_model_imports_neither_torch_nor_transformers() -> None:
    """They are 8 s of imports on a CPU, which a driver would spend before it starts Ray."""
    check = (
        "import sys; from pipeline.config import RunConfig; from pipeline.identity import check_parts;"
        "check_parts(RunConfig()); sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
