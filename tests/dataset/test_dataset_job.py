"""The whole job, with a stand-in for the run: what it asks for, tops up, refuses, exports and ends with."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from made_sets import failed, rejected, sentence, speech, spoken, write_lines, write_run
from rich.console import Console
from typer.testing import CliRunner

import jobs.dataset
from jobs.dataset import Made, synthesize
from pipeline.commands.synthesize import synthesize as command
from pipeline.config import ConsentConfig, ModelConfig, RunConfig
from pipeline.dataset.plan import DatasetPlan, Licences
from pipeline.dataset.splits import assign_splits
from pipeline.engine.frame_budget import estimate_duration_s
from pipeline.errors import ConfigError, ManifestError, RunConflictError
from pipeline.records import Row

# four words of six letters take some two and a half seconds: an hour is 1,500 rows
PLAN = DatasetPlan(hours=40 / 3600, splits={"train": 2 / 3, "test": 1 / 3}, seed=5)

NAMES = ("Anna", "Ben", "Cleo")


class Speaker:
    """Stands for jobs.clone_voices: every row takes as long as was estimated; `judge` says what it becomes."""

    def __init__(self, judge: Callable[[Row], Row] = lambda row: row) -> None:
        self.judge = judge
        self.rounds: list[int] = []

    def __call__(self, manifest: str, out: str, config: RunConfig, console: Console, **options: Any) -> None:
        assert (options["format"], options["strict"]) == ("jsonl", True)
        rows = [json.loads(line) for line in Path(manifest).read_text("utf-8").splitlines()]
        self.rounds.append(len(rows))
        shutil.rmtree(out, ignore_errors=True)  # the rows are the same, the shards of this run are not
        write_run(out, [self.judge(self._say(i, row)) for i, row in enumerate(rows, start=1)], shard_rows=16)

    def _say(self, number: int, row: Row) -> Row:
        return spoken(number, row, duration_s=estimate_duration_s(row["text"], row["language"]))


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[str, str]:
    texts = write_lines(tmp_path / "texts.txt", *(sentence(i) for i in range(60)))
    for number, name in enumerate(NAMES):
        (tmp_path / f"{name}.flac").write_bytes(speech(50, number))
    return texts, write_lines(tmp_path / "voices.csv", *table())


def table(licence: str = "cc0-1.0") -> tuple[str, ...]:
    return ("ref,speaker,language,licence", *(f"{name}.flac,{name},en,{licence}" for name in NAMES))


def run(
    inputs: tuple[str, str],
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    speaker: Speaker,
    plan: DatasetPlan = PLAN,
    **options: Any,
) -> tuple[Made, str]:
    monkeypatch.setattr(jobs.dataset, "clone_voices", speaker)
    # the stand-in's run has an identity of its own
    monkeypatch.setattr(jobs.dataset, "refuse_conflicts", lambda *given: None)
    said = io.StringIO()
    made = synthesize(*inputs, plan, str(out), RunConfig(), Console(file=said, width=200), **options)
    return made, said.getvalue()


def test_the_wanted_hours_are_spoken_and_exported(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker = Speaker()
    made, said = run(inputs, tmp_path / "set", monkeypatch, speaker, formats=["webdataset", "lhotse"])
    assert made.reached
    assert speaker.rounds == [made.survey.rows]
    assert made.survey.whole.seconds >= 40.0
    assert [(Path(report.uri).name, report.rows) for report in made.exports] == [
        ("webdataset", made.survey.rows),
        ("lhotse", made.survey.rows),
    ]
    assert "60 texts; 3 voices" in said
    assert "of speech for 40 s wanted" in said
    assert "split: train" in said
    mark = json.loads((tmp_path / "set" / "webdataset" / "_SUCCESS").read_text())
    assert mark["rows"] == made.survey.rows


def test_the_gates_share_is_made_up_for(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third row is rejected: a second round asks for the missing third, half of that again and more."""

    def judge(row: Row) -> Row:
        return rejected(row, "wer: 0.9, at most 0.3") if row["row"] % 3 == 0 else row

    speaker = Speaker(judge)
    made, said = run(inputs, tmp_path / "set", monkeypatch, speaker)
    assert made.reached
    assert made.survey.whole.seconds >= 40.0
    assert 2 <= len(speaker.rounds) <= 4
    assert speaker.rounds == sorted(set(speaker.rounds))
    assert made.survey.left_out == {"wer": made.survey.rows // 3}
    first = speaker.rounds[0]
    assert f"{speaker.rounds[1] - first} rows more, to make up for {first // 3} rows left out\n" in said
    # all of it again costs one look at a run that is whole
    again = Speaker(judge)
    assert run(inputs, tmp_path / "set", monkeypatch, again)[0].survey.rows == made.survey.rows
    assert again.rounds == [speaker.rounds[-1]]


def test_speech_that_is_shorter_than_estimated_is_made_up_for_with_its_true_reason(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left out; three rows more than what is missing are asked for, not one at a time."""
    speaker = Speaker(lambda row: row | {"duration_s": row["duration_s"] * 0.97})
    made, said = run(inputs, tmp_path / "set", monkeypatch, speaker)
    assert made.reached
    assert len(speaker.rounds) == 2
    assert 4 <= speaker.rounds[1] - speaker.rounds[0] <= 6
    # what falls short of 40 s by less than one does not read as 40 s
    assert re.search(r"rows accepted: 3\d\.\d s of 40\.0 s wanted\n", said)
    assert "rows more, to make up for speech shorter than estimated\n" in said


def test_both_reasons_of_a_top_up_are_told(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(row: Row) -> Row:
        short = row | {"duration_s": row["duration_s"] * 0.8}
        return rejected(short, "wer: 0.9, at most 0.3") if row["row"] == 1 else short

    _, said = run(inputs, tmp_path / "set", monkeypatch, Speaker(judge))
    assert "rows more, to make up for 1 row left out and speech shorter than estimated\n" in said


def test_a_split_without_rows_is_told(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, splits=dict.fromkeys(("train", "valid", "test"), 1 / 3))
    lost = next(
        name for name, split in assign_splits(NAMES, plan.splits, plan.seed).items() if split == "valid"
    )
    speaker = Speaker(lambda row: failed(row, "x") if row["speaker"] == lost else row)
    made, said = run(inputs, tmp_path / "set", monkeypatch, speaker, plan, formats=["shar"])
    line = (
        f"split valid has no rows: of its voices ({lost}) none of {made.survey.asked[lost]} rows was accepted"
    )
    assert f"note: {line}" in said
    assert f"Note: {line}." in (tmp_path / "set" / "shar" / "README.md").read_text()


def test_a_licence_that_is_more_open_than_a_voices_is_noted(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(Path(inputs[1]), *table()[:-1], "Cleo.flac,Cleo,en,CC-BY-NC-4.0")
    plan = replace(PLAN, licence=Licences(dataset="cc-by-4.0"))
    _, said = run(inputs, tmp_path / "set", monkeypatch, Speaker(), plan, formats=["shar"])
    note = "the data set's licence cc-by-4.0 is more open than CC-BY-NC-4.0 of Cleo: it lacks nc"
    assert "licences of the voices: CC-BY-NC-4.0 (Cleo), cc0-1.0 (Anna, Ben)" in said
    assert f"note: {note}" in said
    card = (tmp_path / "set" / "shar" / "README.md").read_text()
    assert f"Note: {note}." in card
    assert "| CC-BY-NC-4.0 | Cleo |\n| cc0-1.0 | Anna, Ben |" in card


def test_what_is_spoken_is_bounded(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(row: Row) -> Row:
        return row if row["row"] == 1 else rejected(row, "similarity: 0.1, at least 0.6")

    speaker = Speaker(judge)
    plan = replace(PLAN, oversampling=1.5)
    made, _ = run(inputs, tmp_path / "set", monkeypatch, speaker, plan)
    assert not made.reached
    rows = [json.loads(line) for line in (tmp_path / "set" / "manifest.jsonl").read_text().splitlines()]
    asked = sum(estimate_duration_s(row["text"], "en") for row in rows)
    assert 60.0 <= asked < 60.0 + max(estimate_duration_s(row["text"], "en") for row in rows)


def test_where_nothing_passes_the_job_stops(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker = Speaker(lambda row: failed(row, "no_audio_generated"))
    made, said = run(inputs, tmp_path / "set", monkeypatch, speaker, formats=["shar"])
    assert (made.reached, made.exports, len(speaker.rounds)) == (False, (), 1)
    assert "no row was accepted" in said
    assert not (tmp_path / "set" / "shar").exists()


def test_more_hours_keep_what_is_there(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "set", monkeypatch, Speaker(), formats=["webdataset"])
    before = (tmp_path / "set" / "manifest.jsonl").read_bytes()
    longer = replace(PLAN, hours=60 / 3600)
    made, _ = run(inputs, tmp_path / "set", monkeypatch, Speaker(), longer, formats=["webdataset"])
    after = (tmp_path / "set" / "manifest.jsonl").read_bytes()
    assert after.startswith(before)
    assert made.survey.whole.seconds >= 60.0
    assert made.exports[0].rows == made.survey.rows
    run(inputs, tmp_path / "other", monkeypatch, Speaker(), longer)
    assert (tmp_path / "other" / "manifest.jsonl").read_bytes() == after


def splits_by_format(out: Path) -> dict[str, dict[str, str]]:
    """The split of each voice, by format, as it lies on disk."""
    found: dict[str, dict[str, str]] = {"lhotse": {}, "ljspeech": {}}
    for path in out.glob("lhotse/*/audio/*.flac"):
        found["lhotse"][path.name.split("-")[0]] = path.parts[-3]
    for path in out.glob("ljspeech/*/*/metadata.csv"):
        found["ljspeech"][path.read_text().split("-")[0]] = path.parts[-3]
    return found


def test_exports_that_are_there_follow_the_plan(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other splits on the same folder: what was exported before, and is not named now, has them too."""
    out = tmp_path / "set"
    run(inputs, out, monkeypatch, Speaker(), formats=["lhotse", "ljspeech"])
    before = splits_by_format(out)
    other = replace(PLAN, splits={"train": 1 / 3, "test": 2 / 3})
    made, said = run(inputs, out, monkeypatch, Speaker(), other, formats=["ljspeech"])
    after = splits_by_format(out)
    assert after["lhotse"] == after["ljspeech"] != before["lhotse"] == before["ljspeech"]
    assert [report.changed for report in made.exports] == [("splits",), ("splits",)]
    assert f"{out}/lhotse: made again: splits have changed; {made.survey.rows} rows" in said
    again, said = run(inputs, out, monkeypatch, Speaker(), other)
    assert [report.there_already for report in again.exports] == [True, True]
    assert "made again" not in said


def test_a_licence_that_was_corrected_reaches_every_export(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "set"
    run(inputs, out, monkeypatch, Speaker(), formats=["lhotse", "ljspeech"])
    write_lines(Path(inputs[1]), *table("cc-by-nc-4.0"))
    other = replace(PLAN, splits={"train": 1 / 3, "test": 2 / 3})
    _, said = run(inputs, out, monkeypatch, Speaker(), other)
    for name in ("lhotse", "ljspeech"):
        assert f"{out}/{name}: made again: splits, licences have changed" in said
        assert "cc-by-nc-4.0" in (out / name / "README.md").read_text()
    provenance = (out / "ljspeech" / "provenance-00000.jsonl").read_text().splitlines()
    assert {json.loads(line)["reference_licence"] for line in provenance} == {"cc-by-nc-4.0"}


@pytest.mark.parametrize("estimate_only", [True, False])
def test_a_bad_reference_is_told_by_voice_and_file_before_a_row_is_sampled(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimate_only: bool
) -> None:
    """Of every voice in the table: this one speaks no language of the texts."""
    lines = (*table(), "nobody.flac,Dora,fr,", "short.flac,Emil,en,")
    (tmp_path / "short.flac").write_bytes(speech(5))
    write_lines(Path(inputs[1]), *lines)
    speaker = Speaker()
    with pytest.raises(ManifestError) as caught:
        run(inputs, tmp_path / "set", monkeypatch, speaker, estimate_only=estimate_only)
    said = str(caught.value)
    assert said.startswith(f"{inputs[1]}: Dora: uri_not_found: reference: {tmp_path}/nobody.flac: ")
    assert f"; Emil: {tmp_path}/short.flac: audio_too_short: reference: 0.20 s" in said
    assert said.endswith("; fix the table of voices")
    assert (speaker.rounds, (tmp_path / "set").exists()) == ([], False)


def test_a_voice_whose_consent_was_withdrawn_is_told_before(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voices = ("ref,speaker,consent_id", "Anna.flac,Anna,c-1", "Ben.flac,Ben,c-2", "Cleo.flac,Cleo,c-3")
    write_lines(Path(inputs[1]), *voices)
    config = RunConfig(consent=ConsentConfig(revoked=write_lines(tmp_path / "revoked.txt", "C-2")))
    with pytest.raises(ManifestError, match=r"Ben: .*Ben\.flac: consent_revoked: consent c-2 was withdrawn"):
        synthesize(*inputs, PLAN, str(tmp_path / "set"), config, Console(file=io.StringIO()))


def test_an_estimate_refuses_the_folders_that_the_job_refuses(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    write_lines(tmp_path / "full" / "notes.txt", "mine")
    with pytest.raises(RunConflictError, match=r"holds notes\.txt and no data set"):
        run(inputs, tmp_path / "full", monkeypatch, Speaker(), estimate_only=True)
    run(inputs, tmp_path / "set", monkeypatch, Speaker())
    before = sorted(tmp_path.rglob("*"))
    run(inputs, tmp_path / "set", monkeypatch, Speaker(), estimate_only=True)
    assert sorted(tmp_path.rglob("*")) == before
    write_lines(Path(inputs[0]), *(sentence(i) for i in range(61)))
    with pytest.raises(RunConflictError, match="texts was"):
        run(inputs, tmp_path / "set", monkeypatch, Speaker(), estimate_only=True)


def test_a_run_with_other_settings_is_refused_by_an_estimate(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "set", monkeypatch, Speaker())
    monkeypatch.undo()
    with pytest.raises(
        RunConflictError, match=r"set/run was started differently \(.*model was 'test-model@1'"
    ):
        synthesize(
            *inputs, PLAN, str(tmp_path / "set"), RunConfig(), Console(file=io.StringIO()), estimate_only=True
        )


def test_other_texts_are_another_set(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "set", monkeypatch, Speaker())
    Path(inputs[0]).write_text("".join(f"{sentence(i)}\n" for i in range(61)))
    with pytest.raises(RunConflictError, match="texts was"):
        run(inputs, tmp_path / "set", monkeypatch, Speaker())


@pytest.mark.parametrize(
    ("plan", "error", "said"),
    [
        (replace(PLAN, hours=1.0), ManifestError, "wants 1 hours, and 60 texts make about 0.1"),
        (replace(PLAN, splits=dict.fromkeys("abcd", 0.25)), ConfigError, "4 splits and 3 voices"),
        (replace(PLAN, languages=["fr"]), ManifestError, "no text is left to speak"),
        (replace(PLAN, licence=Licences(model="boson")), ConfigError, "'boson'.*allow_training_restricted"),
    ],
)
def test_what_is_known_before_is_told_before(
    inputs: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plan: DatasetPlan,
    error: type[Exception],
    said: str,
) -> None:
    speaker = Speaker()
    with pytest.raises(error, match=said):
        run(inputs, tmp_path / "set", monkeypatch, speaker, plan)
    assert (speaker.rounds, (tmp_path / "set").exists()) == ([], False)


def test_a_model_of_unknown_licence_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "higgs").mkdir()
    (tmp_path / "higgs" / "config.json").write_text("{}")
    config = RunConfig(model=ModelConfig(checkpoint=str(tmp_path / "higgs")))
    with pytest.raises(ConfigError, match="not known to allow its outputs to train"):
        synthesize("nowhere.txt", "nowhere.csv", PLAN, str(tmp_path / "set"), config, Console())


def test_the_command(inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(command)
    speaker = Speaker()
    monkeypatch.setattr(jobs.dataset, "clone_voices", speaker)
    monkeypatch.setattr(jobs.dataset, "refuse_conflicts", lambda *given: None)
    plan = write_lines(tmp_path / "plan.toml", "hours_per_voice = 0.003", "seed = 5")
    given = [inputs[0], "--voices", inputs[1], "--plan", plan, "--out", str(tmp_path / "set")]
    only = CliRunner().invoke(app, [*given, "--estimate"])
    assert (only.exit_code, speaker.rounds) == (0, [])
    assert "of speech for 32 s wanted" in only.output
    done = CliRunner().invoke(app, [*given, "--format", "shar", "--format", "ljspeech"])
    assert done.exit_code == 0
    assert {path.name for path in (tmp_path / "set").iterdir()} == {
        *("dataset.json", "manifest.jsonl", "run", "shar", "ljspeech")
    }
    missing = CliRunner().invoke(app, [*given[:4], str(tmp_path / "no.toml"), *given[5:]])
    assert isinstance(missing.exception, ConfigError)
    assert "No such file" in str(missing.exception)


def test_a_set_that_falls_short_is_not_a_success(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()
    app.command()(command)
    monkeypatch.setattr(
        jobs.dataset, "clone_voices", Speaker(lambda row: row if row["row"] % 9 == 0 else failed(row, "x"))
    )
    plan = write_lines(tmp_path / "plan.toml", "hours = 0.01")
    given = [inputs[0], "--voices", inputs[1], "--plan", plan, "--out", str(tmp_path / "set")]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 1
    assert "fewer hours than planned" in done.output
