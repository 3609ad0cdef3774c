"""An export is whole or it is not: marked last, made anew after a crash, never over other people's files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_sets import RUN, manifest_rows, some_voices, spoken, write_run

from pipeline.config import ModelConfig
from pipeline.dataset.card import Card
from pipeline.dataset.export import FORMATS, ExportReport, check_formats, export_dataset
from pipeline.dataset.licence import ModelLicence
from pipeline.dataset.plan import Alignment, DatasetPlan
from pipeline.dataset.selection import Selection, Utterance
from pipeline.dataset.survey import survey_run
from pipeline.errors import CheckpointError, ConfigError, RunConflictError, StorageError
from pipeline.run import read_run
from pipeline.storage import open_store

SPEAKERS = ["Anna", "Ben"]
PLAIN = [name for name in FORMATS if name not in ("chatml", "alignments")]


@pytest.fixture
def run(tmp_path: Path) -> str:
    return grown(tmp_path, 6)


def grown(tmp_path: Path, count: int) -> str:
    rows = [spoken(i + 1, row) for i, row in enumerate(manifest_rows(count, SPEAKERS))]
    return write_run(str(tmp_path / "run"), rows)


def export(
    run: str, out: Path, name: str = "webdataset", chosen: Selection | None = None, **plan: object
) -> ExportReport:
    settings = DatasetPlan(hours=1.0, splits={"train": 0.5, "test": 0.5}, **plan)
    chosen = chosen or Selection(settings, some_voices(*SPEAKERS), SPEAKERS, RUN)
    card = Card(chosen.plan, survey_run(run, chosen), ModelLicence("m@1", "mit", "the plan"), read_run(run))
    return export_dataset(str(out), name, run, chosen, card, ModelConfig())


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", PLAIN)
def test_the_same_rows_give_the_same_bytes(run: str, tmp_path: Path, name: str) -> None:
    one, other = export(run, tmp_path / "one", name), export(run, tmp_path / "other", name)
    assert content(tmp_path / "one") == content(tmp_path / "other")
    assert (one.rows, other.there_already) == (6, False)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")}
    assert export(run, tmp_path / "one", name).there_already
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")} == before


@pytest.mark.parametrize("name", PLAIN)
def test_a_set_that_has_grown_is_written_anew(run: str, tmp_path: Path, name: str) -> None:
    export(run, tmp_path / "one", name)
    grown(tmp_path, 8)
    assert export(run, tmp_path / "one", name).rows == 8
    export(run, tmp_path / "other", name)
    assert content(tmp_path / "one") == content(tmp_path / "other")


class _Breaking(Selection):
    def rows(self, run_uri: str) -> Iterator[Utterance]:
        for count, utterance in enumerate(super().rows(run_uri)):
            if count == 4:
                raise StorageError("the disk is gone")
            yield utterance


@pytest.mark.parametrize("name", PLAIN)
def test_an_export_that_broke_off_has_no_mark_and_is_made_anew(run: str, tmp_path: Path, name: str) -> None:
    settings = DatasetPlan(hours=1.0, splits={"train": 0.5, "test": 0.5})
    breaking = _Breaking(settings, some_voices(*SPEAKERS), SPEAKERS, RUN)
    with pytest.raises(StorageError, match="disk"):
        export(run, tmp_path / "one", name, chosen=breaking)
    assert not (tmp_path / "one" / "_SUCCESS").exists()
    export(run, tmp_path / "one", name)
    export(run, tmp_path / "other", name)
    assert content(tmp_path / "one") == content(tmp_path / "other")


def test_foreign_files_are_left_alone(run: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train-000000.tar").write_text("somebody's")
    with pytest.raises(RunConflictError, match=r"train-000000\.tar and is no webdataset export"):
        export(run, tmp_path / "mine")
    assert content(tmp_path / "mine") == {"train-000000.tar": b"somebody's"}
    export(run, tmp_path / "one")
    (tmp_path / "one" / "notes.txt").write_text("mine")
    assert export(run, tmp_path / "one").there_already
    grown(tmp_path, 8)
    with pytest.raises(RunConflictError, match=r"holds notes\.txt, which no export wrote"):
        export(run, tmp_path / "one")
    assert (tmp_path / "one" / "_SUCCESS").exists()
    with pytest.raises(RunConflictError, match="is no shar export"):
        export(run, tmp_path / "one", "shar")


def test_what_the_card_says_is_part_of_the_export(run: str, tmp_path: Path) -> None:
    export(run, tmp_path / "one")
    # more hours alone change nothing as long as the rows are the same
    assert export(run, tmp_path / "one", hours_per_voice=1.0).there_already
    renamed = DatasetPlan(name="Another name", hours=1.0, splits={"train": 0.5, "test": 0.5})
    report = export(run, tmp_path / "one", chosen=Selection(renamed, some_voices(*SPEAKERS), SPEAKERS, RUN))
    assert not report.there_already
    assert (tmp_path / "one" / "README.md").read_text().startswith("# Another name")


def test_the_card_loads_what_one_trains_on(run: str, tmp_path: Path) -> None:
    export(run, tmp_path / "one", "shar")
    assert 'CutSet.from_shar(in_dir="train")' in (tmp_path / "one" / "README.md").read_text()


def test_the_card_loads_the_largest_split_where_none_is_called_train(tmp_path: Path) -> None:
    """Of Anna, Ben and Cleo two are in one split: it has two of three rows."""
    speakers = [*SPEAKERS, "Cleo"]
    said = [spoken(i + 1, row) for i, row in enumerate(manifest_rows(6, speakers))]
    run = write_run(str(tmp_path / "run"), said)
    for small, large in (("a", "b"), ("b", "a")):
        plan = DatasetPlan(hours=1.0, splits={small: 0.34, large: 0.66})
        export(run, tmp_path / large, "shar", Selection(plan, some_voices(*speakers), speakers, RUN))
        assert f'in_dir="{large}"' in (tmp_path / large / "README.md").read_text()


def test_no_voice_crosses_a_split(run: str, tmp_path: Path) -> None:
    export(run, tmp_path / "one", "lhotse")
    voices = Counter(
        (path.parts[-3], path.name.rsplit("-", 1)[0]) for path in (tmp_path / "one").glob("*/audio/*.flac")
    )
    assert len(voices) == len({split for split, _ in voices}) == len({voice for _, voice in voices}) == 2


def test_onto_an_object_store(run: str, tmp_path: Path, s3: str) -> None:
    settings = DatasetPlan(hours=1.0, splits={"train": 0.5, "test": 0.5})
    chosen = Selection(settings, some_voices(*SPEAKERS), SPEAKERS, RUN)
    card = Card(settings, survey_run(run, chosen), ModelLicence("m@1", "mit", "the plan"), read_run(run))
    export_dataset(f"{s3}/set/shar", "shar", run, chosen, card, ModelConfig())
    export(run, tmp_path / "one", "shar")
    store = open_store(f"{s3}/set/shar")
    assert {key: store.get(key) for key in store.list()} == content(tmp_path / "one")


def test_formats_are_checked_before_anything_is_spent() -> None:
    with pytest.raises(ConfigError, match="--format zip: there is no such format; use huggingface"):
        check_formats(["shar", "zip"], DatasetPlan(hours=1.0))
    check_formats([name for name in FORMATS if name != "alignments"], DatasetPlan(hours=1.0))
    with pytest.raises(ConfigError, match=r"name a CTC checkpoint as alignment\.model"):
        check_formats(FORMATS, DatasetPlan(hours=1.0))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        check_formats(FORMATS, DatasetPlan(hours=1.0, alignment=Alignment("nowhere")))


def test_the_mark_says_what_the_export_is_of(run: str, tmp_path: Path) -> None:
    export(run, tmp_path / "one")
    mark = json.loads((tmp_path / "one" / "_SUCCESS").read_text())
    assert (mark["rows"], mark["of"]["run"], mark["of"]["format"]) == (6, RUN, "webdataset")
