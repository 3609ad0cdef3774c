"""The manifest grows at its end; a folder of other things, or of another sample, is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_sets import some_texts, some_voices

from pipeline.config import RunConfig
from pipeline.dataset.folder import open_dataset
from pipeline.dataset.hours import Limits
from pipeline.dataset.inputs import Voice
from pipeline.dataset.plan import DatasetPlan, Style
from pipeline.dataset.sampling import Sampler
from pipeline.dataset.selection import Selection
from pipeline.errors import RunConflictError
from pipeline.preflight import Preflight

PLAN = DatasetPlan(
    hours=1.0, styles={"busy": Style(scene=" A  market. ", temperature=0.5, top_p=0.9, top_k=5)}
)
VOICES = Path(__file__).parents[2] / "manifests" / "voices"


def test_rows_are_put_at_the_end(tmp_path: Path) -> None:
    sampler = Sampler(PLAN, some_texts(20), some_voices("Anna", "Ben"))
    folder = open_dataset(str(tmp_path / "set"), {"seed": 1})
    assert folder.append(sampler.draw(Limits(20.0)), PLAN) > 0
    before = (tmp_path / "set" / "manifest.jsonl").read_bytes()
    assert folder.append(sampler.draw(Limits(20.0), folder.taken()), PLAN) == 0
    assert folder.append(sampler.draw(Limits(60.0), folder.taken()), PLAN) > 0
    after = (tmp_path / "set" / "manifest.jsonl").read_bytes()
    assert after.startswith(before)
    whole = open_dataset(str(tmp_path / "other"), {"seed": 1})
    whole.append(sampler.draw(Limits(60.0)), PLAN)
    assert (tmp_path / "other" / "manifest.jsonl").read_bytes() == after


def test_the_manifest_is_one_that_a_run_takes(tmp_path: Path) -> None:
    """Read by the check of every run, references and all."""
    voices = [
        Voice(
            "slt",
            str(VOICES / "slt-2.flac"),
            "She kept every letter in a tin box under the stairs.",
            "en",
            "c-1",
        ),
        Voice("awb", str(VOICES / "awb-1.flac"), None, None),
    ]
    folder = open_dataset(str(tmp_path / "set"), {})
    draws = Sampler(PLAN, some_texts(4), voices).draw(Limits())
    folder.append(draws, PLAN)
    checked = list(Preflight(folder.manifest_uri, RunConfig(), format="jsonl").rows())
    assert [row["error_code"] for row in checked] == [None] * 8
    assert [row["utterance_id"] for row in checked] == [draw.utterance_id for draw in draws]
    row = next(row for row in checked if row["speaker"] == "slt")
    assert (row["scene"], row["temperature"], row["top_p"], row["top_k"]) == ("A market.", 0.5, 0.9, 5)
    assert (row["consent_id"], row["language"]) == ("c-1", "en")
    # what the run says of a row leads back to its style
    assert {Selection(PLAN, voices, ["slt", "awb"]).style(row) for row in checked} == {"busy"}


def test_another_sample_is_refused_once_something_is_spoken(tmp_path: Path) -> None:
    uri = str(tmp_path / "set")
    folder = open_dataset(uri, {"plan": {"seed": 1}})
    folder.append(Sampler(PLAN, some_texts(4), some_voices("Anna")).draw(Limits()), PLAN)
    again = open_dataset(uri, {"plan": {"seed": 2}})  # nothing is lost yet
    assert list(again.rows()) == []
    folder.store.put("run/run.json", b"{}")
    open_dataset(uri, {"plan": {"seed": 2}})
    with pytest.raises(RunConflictError, match=r"plan\.seed was 2, is 3.*hours may grow"):
        open_dataset(uri, {"plan": {"seed": 3}})
    folder.store.put("dataset.json", b"{")
    with pytest.raises(RunConflictError, match="damaged"):
        open_dataset(uri, {"plan": {"seed": 3}})


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunConflictError, match=r"holds thesis\.tex and no data set"):
        open_dataset(str(tmp_path), {})
    assert json.dumps([path.name for path in tmp_path.iterdir()]) == '["thesis.tex"]'
