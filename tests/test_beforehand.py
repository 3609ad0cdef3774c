"""What is told from files alone: no torch, no Ray, no waiting."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from manifest_faults import write_csv
from rich.console import Console

from pipeline.beforehand import (
    FinishedRun,
    all_planned,
    check_manifest,
    refuse_conflicts,
    rows_to_score,
    tell_readable_now,
    whole_already,
)
from pipeline.config import RunConfig, load_config
from pipeline.errors import ConfigError, ManifestError, RunConflictError
from pipeline.identity import resolve_identity
from pipeline.plan import extend_plan, planned_shards, read_planned
from pipeline.preflight import Preflight
from pipeline.records import SAMPLE_ROW, to_table
from pipeline.results import result_schema
from pipeline.run import Run, open_run
from pipeline.stages.pack_result import pack_results

VOICE = Path(__file__).parents[1] / "manifests" / "voices" / "slt-1.flac"
CONFIG = RunConfig()
SUMMARY = {"ok": 1, "failed": 1, "rejected": 0, "failures": {"check_prompt": {"uri_not_found": 1}}}


def manifest_row(name: str, ref: object = VOICE, text: str = "Good evening.") -> dict[str, str]:
    return {"id": name, "ref": str(ref), "ref_text": "The ferry leaves.", "text": text}


ROWS = [manifest_row("good"), manifest_row("bad", "nowhere.flac")]


@dataclass
class Whole:
    manifest: str
    run: Run

    def again(self, rows: list[dict[str, str]] | None = None, until: str = "finish") -> object:
        """What a second run of the same command, with its manifest as it is now, ends with at once."""
        if rows is not None:
            write_csv(Path(self.manifest), rows)
        self.console = Console(file=io.StringIO())
        refuse_conflicts(self.run.uri, "speak", CONFIG)
        planned = all_planned(self.run.uri, Preflight(self.manifest, CONFIG))
        return whole_already(self.run.uri, self.console, until) if planned else None  # type: ignore[arg-type]

    @property
    def printed(self) -> str:
        return self.console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    """A run of ROWS that has ended, made without a model."""
    manifest = write_csv(tmp_path / "m.csv", ROWS)
    identity = replace(resolve_identity("speak", CONFIG), device="cpu", evaluator_devices="cpu, cpu")
    run = open_run(str(tmp_path / "run"), CONFIG, identity, manifest)
    extend_plan(run.store, Preflight(manifest, CONFIG).rows(), 32, lambda row: 0.0)
    [shard] = planned_shards(run.store)
    rows = read_planned(run.store, shard)
    run.samples.write_shard(shard.name, to_table(rows, SAMPLE_ROW), "a", {"failed": 1})
    results = to_table(pack_results(rows, "m", "c", "r"), result_schema())
    run.results.write_shard(shard.name, results, "a", {"failed": 1})
    run.store.put("summary.json", json.dumps(SUMMARY).encode())
    run.results.mark_success({"shards": len(run.results.committed_shards())})
    return Whole(manifest, run)


def test_a_whole_run_has_nothing_to_do_and_says_so(whole: Whole) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(whole.run.uri).rglob("*")}
    assert whole.again() == SUMMARY
    assert "is complete: nothing to do" in whole.printed
    assert whole.again(until="samples") == {"rows": 2, "failed": 1}
    assert "is packed: nothing to do" in whole.printed
    assert {path: path.stat().st_mtime_ns for path in Path(whole.run.uri).rglob("*")} == before


def test_a_row_that_would_pass_now_is_told_that_its_result_is_final(whole: Whole) -> None:
    report = Preflight(whole.manifest, CONFIG).report  # nothing was looked at: none is bad
    console = Console(file=io.StringIO(), width=200)
    tell_readable_now(
        report, {"failures": {"check_prompt": {"uri_not_found": 2}, "speak": {"x": 1}}}, console
    )
    assert console.file.getvalue() == (  # type: ignore[attr-defined]
        "note: 2 rows that failed in this run would pass the checks now; results are final: to speak them, give "
        "them new ids, or use a new --out\n"
    )
    tell_readable_now(report, {"failures": {"speak": {"x": 1}}}, quiet := Console(file=io.StringIO()))
    assert quiet.file.getvalue() == ""  # type: ignore[attr-defined]


def test_the_same_in_another_order_is_whole_and_a_row_more_is_not(whole: Whole) -> None:
    assert whole.again(ROWS[::-1]) == SUMMARY
    assert whole.again([*ROWS, manifest_row("new")]) is None
    assert whole.again(until="samples") is None


@pytest.mark.parametrize("missing", ["_SUCCESS", "commit/00000-00000.json"])
def test_a_run_that_is_not_whole_goes_on(whole: Whole, missing: str) -> None:
    whole.run.store.delete(missing)
    assert whole.again() is None


def test_a_run_that_was_stopped_before_it_was_planned_goes_on(whole: Whole) -> None:
    for key in list(whole.run.store.list()):
        if key != "run.json":
            whole.run.store.delete(key)
    Path(whole.manifest).write_text("id,ref,ref_text,text\n")
    assert whole.again() is None
    assert whole.again(until="samples") is None


def test_a_row_with_other_content_is_refused(whole: Whole) -> None:
    with pytest.raises(RunConflictError, match="'good' was planned in this run with other content"):
        whole.again([manifest_row("good", text="Something else.")])


def test_other_settings_are_refused(whole: Whole) -> None:
    other = load_config(None, ["sampling.temperature=0.5"])
    with pytest.raises(RunConflictError, match=r"sampling\.temperature was None, is 0\.5"):
        refuse_conflicts(whole.run.uri, "speak", other)
    with pytest.raises(RunConflictError, match="task was 'speak', is 'score'"):
        refuse_conflicts(whole.run.uri, "score", CONFIG)


def test_a_prompt_cache_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = load_config(None, [f"resources.prompt_cache={tmp_path / 'file'}"])
    with pytest.raises(ConfigError, match="file is not a folder"):
        refuse_conflicts(str(tmp_path / "out"), "speak", config)


def test_a_run_of_an_older_version_can_be_scored(whole: Whole) -> None:
    log = whole.run.results
    [commit] = log.commits()
    before = log.read_table(commit).drop_columns(["ground_truth_audio", "ground_truth_id"])
    log.replace_shard(commit, before, "b", commit.extra)
    rows = {row["utterance_id"]: row for row in FinishedRun(whole.run.uri).rows()}
    assert rows.keys() == {"good", "bad"}
    assert {row["ground_truth_id"] for row in rows.values()} == {None}
    [now] = log.commits()
    assert rows["good"]["audio_uri"] == f"{whole.run.uri}/{now.key}#1"


def test_an_unfinished_run_is_not_scored(whole: Whole) -> None:
    whole.run.store.delete("_SUCCESS")
    with pytest.raises(RunConflictError, match="is not complete"):
        rows_to_score(whole.run.uri, CONFIG, Console(file=io.StringIO()))


def test_a_strict_check_refuses(whole: Whole) -> None:
    with pytest.raises(ManifestError, match="1 bad row, listed above; --strict accepts none"):
        check_manifest(whole.manifest, CONFIG, Console(file=io.StringIO()), strict=True)


def test_neither_ray_nor_torch_is_loaded_for_it(whole: Whole) -> None:
    code = (
        "import sys; from rich.console import Console; from jobs.clone_voices import clone_voices, resume; "
        "from pipeline.config import RunConfig; "
        f"a = clone_voices({whole.manifest!r}, {whole.run.uri!r}, RunConfig(), Console()); "
        f"b = resume({whole.run.uri!r}, RunConfig(), Console()); "
        "print(a == b, {'ray', 'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("True set()\n")


def test_what_the_embedded_model_has_not_learned_is_told(tmp_path: Path) -> None:
    talk = {"ref_speaker1": str(VOICE), "ref_text_speaker1": "The ferry leaves."}
    none = dict.fromkeys(talk, "")
    rows = [
        manifest_row("a") | none,
        manifest_row("b", text="[SPEAKER0] Is it late? [SPEAKER1] It is.") | talk,
    ]
    for count, told in ((1, False), (2, True)):
        console = Console(file=io.StringIO(), width=200)
        check_manifest(write_csv(tmp_path / "m.csv", rows[:count]), CONFIG, console)
        assert ("note: 1 row with several or described voices" in console.file.getvalue()) is told  # type: ignore[attr-defined]
