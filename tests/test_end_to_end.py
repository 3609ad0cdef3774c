"""A manifest with every fault through the whole pipeline: real Ray, codec, model, evaluators, storage."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from in_process import without_ray
from manifest_faults import build_fault_manifest, write_csv
from rich.console import Console
from typer.testing import CliRunner

from jobs.clone_voices import clone_voices, resume
from jobs.score_audio import score_audio
from pipeline import flow, read_results
from pipeline.cli import app
from pipeline.commit import ShardLog
from pipeline.config import load_config
from pipeline.engine.standin import build_random_checkpoint
from pipeline.errors import CheckpointError, ManifestError, RunConflictError
from pipeline.records import RESULT_ROW
from pipeline.run import config_of_run
from pipeline.storage import open_store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
VOICES = Path(__file__).parents[1] / "manifests" / "voices"
CACHE = tempfile.mkdtemp(prefix="voicemill-test-prompts-")  # voices are encoded once for all these runs
SETTINGS = [
    "model.checkpoint=standin",
    "output.shard_rows=4",
    "resources.num_cpus=2",
    f"resources.prompt_cache={CACHE}",
]
CONFIG = load_config(None, SETTINGS)
UNSCORED = load_config(None, [*SETTINGS, "evaluation.transcriber=none", "evaluation.speaker_encoder=none"])


@pytest.fixture(scope="module", autouse=True)
def one_ray(s3_endpoint: str) -> object:
    cluster = flow.start_ray(CONFIG.resources)
    yield cluster
    flow.stop_ray(cluster)
    shutil.rmtree(CACHE)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


@dataclass
class Finished:
    manifest: str
    out: str
    expected: dict[int, str | None]  # row -> error code, None for a good one
    summary: dict[str, object]
    printed: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("faults")
    manifest, expected = build_fault_manifest(folder)
    console = quiet()
    out = str(folder / "runs" / "faults")
    watched = load_config(None, [*SETTINGS, f"resources.metrics_file={folder / 'night.prom'}"])
    summary = clone_voices(str(manifest), out, watched, console)
    return Finished(str(manifest), out, expected, summary, console.file.getvalue())  # type: ignore[attr-defined]


def test_one_row_in_one_row_out_each_with_its_own_fault(finished: Finished) -> None:
    rows = read_results(
        finished.out, ["row", "status", "error_code", "failed_stage", "error_message"]
    ).to_pylist()
    assert [row["row"] for row in rows] == sorted(finished.expected)
    assert {row["row"]: row["error_code"] for row in rows} == finished.expected
    assert len({code for code in finished.expected.values() if code}) >= 20
    for row in rows:
        assert (row["status"] == "failed") == (row["error_code"] is not None)
        if row["status"] == "failed":
            assert row["failed_stage"] in ("check_request", "check_prompt")
            assert "\n" not in row["error_message"]


def test_good_rows_are_spoken_and_scored(finished: Finished) -> None:
    good = [row for row in read_results(finished.out).to_pylist() if row["status"] == "ok"]
    assert len(good) >= 3
    for row in good:
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert (rate, len(samples)) == (row["sample_rate"], row["num_samples"]) == (24_000, len(samples))
        codebooks, frames = row["codes_shape"]
        assert (codebooks, len(samples)) == (8, frames * 960)
        codes = np.frombuffer(row["codes"], "<u2")
        assert codes.size == codebooks * frames
        assert codes.max() < 1024
        assert hashlib.sha256(row["codes"]).hexdigest() == row["codes_sha256"]
        assert row["finish_reason"] == ("length" if frames >= row["max_new_frames"] else "eos")
        assert frames <= row["max_new_frames"]
        assert row["model"].startswith("voicemill-standin-random@")
        assert row["transcriber"].startswith("demo:pocketsphinx")
        errors = row["wer_substitutions"] + row["wer_deletions"] + row["wer_insertions"]
        assert row["wer"] == pytest.approx(errors / row["wer_reference_words"])


def test_the_metrics_file_agrees_with_the_results(finished: Finished) -> None:
    rows = read_results(finished.out, ["status", "num_samples", "sample_rate"]).to_pylist()
    spoken = [row for row in rows if row["status"] == "ok"]
    file = Path(finished.out).parents[1] / "night.prom"
    lines = [line.rpartition(" ") for line in file.read_text().splitlines() if not line.startswith("#")]
    said = {name.replace('pipeline="night",', ""): float(value) for name, _, value in lines}
    assert said['voicemill_rows_total{stage="commit",outcome="ok"}'] == len(spoken) > 0
    assert said['voicemill_run_rows{outcome="failed"}'] == len(rows) - len(spoken) > 0
    seconds = sum(row["num_samples"] / row["sample_rate"] for row in spoken)
    assert said['voicemill_audio_seconds_total{stage="decode_codes"}'] == pytest.approx(seconds, rel=0.01)
    # a shard of bad rows alone is committed too, but not by the graph that counts
    shards = len(list((Path(finished.out) / "commit").iterdir()))
    assert 0 < said['voicemill_commits_total{pipeline="night"}'] <= shards
    frames = said['voicemill_engine_frames_total{pipeline="night"}']
    assert 0 < frames <= said['voicemill_engine_slot_steps_total{pipeline="night"}']
    assert said['voicemill_run_success_timestamp_seconds{pipeline="night"}'] > 0


def test_the_report_names_every_bad_row(finished: Finished) -> None:
    for row, code in finished.expected.items():
        if code is not None:
            assert f"row {row} (" in finished.printed
            assert code in finished.printed
    bad = sum(code is not None for code in finished.expected.values())
    assert finished.summary["failed"] == bad
    assert finished.summary["rows"] == len(finished.expected)


def test_anybody_can_read_the_shards(finished: Finished) -> None:
    pattern = f"{finished.out}/data/*/*.parquet"
    files = sorted(Path(finished.out).glob("data/*/*.parquet"))
    frame = pd.concat(pd.read_parquet(file) for file in files)
    assert sorted(frame["row"]) == sorted(finished.expected)
    [(rows, ok)] = duckdb.sql(f"select count(*), count(*) filter (status = 'ok') from '{pattern}'").fetchall()
    assert (rows, ok) == (len(finished.expected), sum(code is None for code in finished.expected.values()))

    import datasets

    loaded = datasets.load_dataset(
        "parquet", data_files=pattern, split="train", cache_dir=str(Path(finished.out).parent / "hf")
    )
    assert isinstance(loaded.features["audio"], datasets.Audio)
    plain = loaded.cast_column("audio", datasets.Audio(decode=False)).filter(
        lambda row: row["status"] == "ok"
    )
    samples, _ = soundfile.read(io.BytesIO(plain[0]["audio"]["bytes"]))
    assert len(samples) == plain[0]["num_samples"]


def test_the_command_line_shows_and_exports_it(finished: Finished, tmp_path: Path) -> None:
    def voicemill(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
        assert result.exit_code == 0, result.output
        return result.output

    good = sum(code is None for code in finished.expected.values())
    status = voicemill("status", finished.out)
    assert f"{len(finished.expected)} planned, {len(finished.expected)} committed" in status
    assert "complete     yes" in status
    assert "voicemill-standin-random@" in status
    assert "uri_not_found" in voicemill("results", finished.out)
    listed = list(
        csv.DictReader(io.StringIO(voicemill("results", finished.out, "--format", "csv", "--failed")))
    )
    assert {int(row["row"]): row["error_code"] for row in listed} == {
        row: code for row, code in finished.expected.items() if code
    }
    voicemill(
        "results",
        finished.out,
        "--format",
        "parquet",
        "--all-columns",
        "--output",
        str(tmp_path / "all.parquet"),
    )
    assert pq.read_table(tmp_path / "all.parquet").equals(read_results(finished.out))
    assert f"{good} files" in voicemill("export", finished.out, "--to", str(tmp_path / "audio"))
    files = sorted((tmp_path / "audio").glob("*.flac"))
    assert len(files) == good
    for file in files:
        assert soundfile.info(file).samplerate == 24_000


def test_the_command_ends_with_where_everything_is(finished: Finished) -> None:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    result = CliRunner().invoke(
        app, ["run", finished.manifest, "--out", finished.out, *settings], env={"COLUMNS": "300"}
    )
    assert result.exit_code == 1  # some rows are bad
    good = sum(code is None for code in finished.expected.values())
    assert f"{good} ok, {len(finished.expected) - good} failed (" in result.output
    for where in ("data/*/*.parquet", "summary.json", f"voicemill export {finished.out}"):
        assert where in result.output
    assert "random weights stand in" in result.output


def test_running_again_changes_nothing(finished: Finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(finished.out).rglob("*") if path.is_file()}
    assert clone_voices(finished.manifest, finished.out, CONFIG, quiet()) == finished.summary
    after = {path: path.stat().st_mtime_ns for path in Path(finished.out).rglob("*") if path.is_file()}
    assert after == before


def test_other_settings_are_refused_and_named(finished: Finished) -> None:
    other = load_config(None, [*SETTINGS, "sampling.temperature=0.5"])
    with pytest.raises(RunConflictError, match=r"sampling\.temperature was None, is 0\.5"):
        clone_voices(finished.manifest, finished.out, other, quiet())


def test_a_codec_that_is_not_the_model_s_is_refused_before_anything_is_spent(
    finished: Finished, tmp_path: Path
) -> None:
    build_random_checkpoint(
        tmp_path / "other", seed=1, name="other", note="", num_codebooks=12, hidden_size=32
    )
    other = load_config(None, [*SETTINGS, f"model.codec={tmp_path / 'other'}"])
    with pytest.raises(CheckpointError, match=r"speaks 8 codebooks of 1024, .* has 12 of 1024"):
        clone_voices(finished.manifest, str(tmp_path / "out"), other, quiet())
    assert not (tmp_path / "out").exists()


def test_strict_refuses_before_anything_is_written(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="bad rows"):
        clone_voices(finished.manifest, str(tmp_path / "out"), CONFIG, quiet(), strict=True)
    assert not (tmp_path / "out").exists()


def test_scoring_a_finished_run_gives_its_scores(finished: Finished, tmp_path: Path) -> None:
    score_audio(finished.out, str(tmp_path / "again"), CONFIG, quiet())
    columns = ["row", "status", "error_code", "hypothesis", "wer", "cer", "similarity", "target_text"]
    original = read_results(finished.out, columns).to_pylist()
    assert read_results(str(tmp_path / "again"), columns).to_pylist() == original


def test_prepare_then_generate_then_a_grown_manifest_is_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"id": f"u{i}", "ref": str(VOICES / "slt-1.flac"), "ref_text": "The ferry leaves.", "text": text}
        for i, text in enumerate(("One good line.", "Another good line.", "A third one."))
    ]
    manifest, out = write_csv(tmp_path / "m.csv", rows[:2]), str(tmp_path / "run")
    assert clone_voices(manifest, out, UNSCORED, quiet(), until="samples") == {"rows": 2, "failed": 0}
    without_ray(monkeypatch.setattr)
    packed = ShardLog(open_store(out), prefix="samples")
    [commit] = packed.commits()
    sample = packed.read_table(commit).to_pylist()[0]
    assert [message["role"] for message in sample["messages"]] == ["system", "user", "assistant", "user"]
    assert not (tmp_path / "run" / "commit").exists()

    summary = resume(out, config_of_run(out), quiet())
    assert (summary["rows"], summary["ok"]) == (2, 2)
    hashes = read_results(out, ["utterance_id", "codes_sha256"]).to_pylist()

    write_csv(tmp_path / "m.csv", rows[::-1])  # grown, and in another order
    assert clone_voices(manifest, out, UNSCORED, quiet())["rows"] == 3
    grown = read_results(out, ["utterance_id", "codes_sha256"]).to_pylist()
    assert [row for row in grown if row["utterance_id"] != "u2"] == hashes

    write_csv(tmp_path / "m.csv", [rows[0] | {"text": "Something else."}])
    with pytest.raises(RunConflictError, match="'u0' was planned in this run with other content"):
        clone_voices(manifest, out, UNSCORED, quiet())


def test_all_failed_and_empty_runs_have_the_same_schema(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch.setattr)
    silent = {"id": "a", "ref": "nowhere.flac", "ref_text": "x", "text": "Nobody will say this."}
    failed = write_csv(tmp_path / "failed.csv", [silent])
    assert clone_voices(failed, str(tmp_path / "failed"), UNSCORED, quiet())["failed"] == 1
    (tmp_path / "empty.csv").write_text("id,ref,ref_text,text\n")
    assert clone_voices(str(tmp_path / "empty.csv"), str(tmp_path / "empty"), UNSCORED, quiet())["rows"] == 0
    schemas = [
        pq.read_schema(next(Path(run).glob("data/*/*.parquet")))
        for run in (finished.out, tmp_path / "failed", tmp_path / "empty")
    ]
    assert schemas[0].equals(schemas[1], check_metadata=True)
    assert schemas[0].equals(schemas[2], check_metadata=True)
    assert schemas[0].names == RESULT_ROW.names
    assert read_results(str(tmp_path / "empty")).num_rows == 0


def test_on_object_storage(s3: str, tmp_path: Path) -> None:
    shutil.copytree(VOICES, tmp_path / "voices")
    rows = [
        {"id": "here", "ref": "voices/rms-1.flac", "text": "Kept in a bucket.", "ref_text": "A warm wind."},
        {"id": "gone", "ref": "voices/gone.flac", "text": "Never said.", "ref_text": "x"},
    ]
    store = open_store(f"{s3}/in")
    for path in tmp_path.rglob("*.flac"):
        store.put(f"voices/{path.name}", path.read_bytes())
    store.put("m.csv", Path(write_csv(tmp_path / "m.csv", rows)).read_bytes())
    summary = clone_voices(f"{s3}/in/m.csv", f"{s3}/runs/a", CONFIG, quiet())
    assert (summary["ok"], summary["failed"]) == (1, 1)
    table: pa.Table = read_results(f"{s3}/runs/a", ["utterance_id", "error_code"])
    assert table.to_pylist() == [
        {"utterance_id": "here", "error_code": None},
        {"utterance_id": "gone", "error_code": "uri_not_found"},
    ]
    assert open_store(f"{s3}/runs/a").exists("_SUCCESS")
