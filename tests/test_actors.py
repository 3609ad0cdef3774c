from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from manifest_faults import write_csv

from pipeline import flow
from pipeline.actors import (
    Chain,
    EmbedSpeaker,
    EncodePrompts,
    LoadUtterances,
    PackSamples,
    prompt_lookup,
    shard_columns,
)
from pipeline.config import load_config
from pipeline.errors import EngineFatalError, RowError
from pipeline.identity import resolve_identity
from pipeline.plan import extend_plan, planned_prompts, planned_shards
from pipeline.preflight import Preflight
from pipeline.prompt_cache import PromptCache
from pipeline.records import SpeakerPrompt
from pipeline.run import Run
from pipeline.storage import LocalStore, open_store

VOICES = Path(__file__).parents[1] / "manifests" / "voices"


class NoBoard:
    """Counts nothing, and is no Ray actor."""

    class add:
        @staticmethod
        def remote(*_: object) -> None:
            """As the board's method."""


class Add:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.table({"x": [value * 10 + self.number for value in table["x"].to_pylist()]})


def test_a_chain_is_its_stages_in_order() -> None:
    chain = Chain([(Add, (1,)), (Add, (2,))])
    assert chain(pa.table({"x": [0, 5]}))["x"].to_pylist() == [12, 512]


class Overlaps:
    """Notes how many calls were inside at once; lets go when `enough` are."""

    def __init__(self, seen: list[int], enough: int) -> None:
        self.seen, self.together = seen, threading.Barrier(enough)

    def __call__(self, table: pa.Table) -> pa.Table:
        try:
            self.together.wait(timeout=0.2)
            self.seen.append(self.together.parties)
        except threading.BrokenBarrierError:
            self.seen.append(1)
        return table


class ConcurrentOverlaps(Overlaps):
    concurrent = True


@pytest.mark.parametrize(("stage", "together"), [(Overlaps, [1, 1]), (ConcurrentOverlaps, [2, 2])])
def test_only_concurrent_stages_of_a_chain_take_several_shards_at_once(stage: type, together: list) -> None:
    seen: list[int] = []
    chain = Chain([(stage, (seen, 2))])
    with ThreadPoolExecutor(2) as pool:
        tables = [pa.table({"x": [number]}) for number in range(2)]
        assert list(pool.map(chain, tables)) == tables
    assert seen == together


def test_a_ground_truth_from_the_manifest_to_the_score(tmp_path: Path) -> None:
    """The real speaker encoder hears that a clip is its own ground truth, and not another speaker's."""
    voice, other = VOICES / "slt-1.flac", VOICES / "rms-1.flac"
    given = {"audio": str(voice), "ref": str(voice), "text": "Hello."}
    truths = [str(voice), str(other), ""]
    rows = [{"id": f"u{i}", "ground_truth": truth, **given} for i, truth in enumerate(truths)]
    config = load_config(None, ["evaluation.transcriber=none"])
    planned = Preflight(write_csv(tmp_path / "m.csv", rows), config, task="score")
    run = Run(open_store(str(tmp_path / "run")), config, resolve_identity("score", config))
    assert extend_plan(run.store, planned.rows(), 8, lambda row: 0.0) == 3
    cache = PromptCache(open_store(str(tmp_path / "cache")), "encoders")
    prompts = pa.Table.from_pylist(list(planned_prompts(run.store)), schema=flow._VOICE)
    assert prompts.num_rows == 3, "the reference, and as ground truths its own file and the other's"
    outcomes = EncodePrompts(run, cache, NoBoard, ("cpu",) * 3)(prompts)
    assert outcomes["error_code"].null_count == 3
    [shard] = planned_shards(run.store)
    loaded = LoadUtterances(run, cache, {}, NoBoard)(pa.Table.from_pylist([shard_columns(shard)]))
    heard = EmbedSpeaker(run, NoBoard, "cpu")(loaded).to_pylist()
    own, others, without = sorted(heard, key=lambda row: row["utterance_id"])
    assert own["similarity_ground_truth"] == pytest.approx(1.0, abs=1e-3)
    assert others["similarity_ground_truth"] < 0.8
    assert without["similarity_ground_truth"] is None
    assert own["similarity"] == others["similarity"] == without["similarity"]


def test_samples_are_what_is_committed_and_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"id": "u", "ref": str(VOICES / "slt-1.flac"), "ref_text": "A voice.", "text": "Hello."}
    config = load_config(None, ["model.checkpoint=standin"])
    planned = Preflight(write_csv(tmp_path / "m.csv", [row, row | {"id": "v"}]), config)
    run = Run(open_store(str(tmp_path / "run")), config, resolve_identity("speak", config))
    extend_plan(run.store, planned.rows(), 8, lambda row: 0.0)
    cache = PromptCache(open_store(str(tmp_path / "cache")), "encoders")
    [prompt] = planned_prompts(run.store)
    codes = np.arange(24, dtype=np.uint16).reshape(8, 3)
    cache.put(SpeakerPrompt(prompt["prompt_id"], "A voice.", codes, np.arange(9, dtype=np.int16), 1.0, None))
    [shard] = planned_shards(run.store)
    asked = pa.Table.from_pylist([shard_columns(shard)])
    pack = PackSamples(run, cache, {}, NoBoard)
    read = []
    get = LocalStore.get
    monkeypatch.setattr(LocalStore, "get", lambda *given: read.append(given[1]) or get(*given))
    packed = pack(asked)
    assert not [key for key in read if key.startswith("samples/data")]
    again = pack(asked)
    assert [key for key in read if key.startswith("samples/data")]
    assert packed.equals(again)
    assert packed.schema.metadata == again.schema.metadata
    assert packed["error_code"].to_pylist() == [None, None]


def test_voices_come_from_the_cache_or_fail_as_they_failed(tmp_path: Path) -> None:
    cache = PromptCache(open_store(str(tmp_path)), "codec@1")
    voice = SpeakerPrompt("a" * 32, "x", np.zeros((8, 1), np.uint16), np.zeros(1, np.int16), 1.0, None)
    cache.put(voice)
    lookup = prompt_lookup(cache, {"bad": RowError("prompt_text_unknown", "nothing heard")})
    assert lookup(voice.prompt_id).prompt_text == "x"
    with pytest.raises(RowError, match="nothing heard"):
        lookup("bad")
    with pytest.raises(EngineFatalError, match="not in the prompt cache"):
        lookup("b" * 32)
