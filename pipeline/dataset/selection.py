"""Which of a run's rows belong to the data set, in which split, and what is told of each."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.dataset.inputs import Voice
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.splits import assign_splits
from pipeline.records import RESULT_ROW, Row
from pipeline.results import iter_results
from pipeline.stages.check_request import normalize_text

# columns of a result row that a record has under the same name
_TAKEN = (
    *("language", "speaker", "duration_s", "sample_rate", "num_samples"),
    *("hypothesis", "wer", "cer", "similarity", "gate", "gate_reasons", "take", "finish_reason"),
    *("scene", "temperature", "top_p", "top_k", "seed", "model", "codec"),
    *("transcriber", "speaker_encoder", "normalizer", "protocol", "consent_id", "codes_sha256"),
)
# What every format tells of an utterance; the reference is named by its file and by the hash of what it says.
RECORD = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        *((name, RESULT_ROW.field(name).type) for name in _TAKEN[:5]),
        ("synthetic", pa.bool_()),
        ("style", pa.string()),
        ("reference", pa.string()),
        ("reference_id", pa.string()),
        ("reference_text", pa.string()),
        ("reference_licence", pa.string()),
        *((name, RESULT_ROW.field(name).type) for name in _TAKEN[5:]),
        ("run", pa.string()),  # its fingerprint
    ]
)
# what tells of a row whether it is kept, and what a survey counts
LIGHT = [
    *("status", "gate", "gate_reasons", "error_code", "speaker", "language", "duration_s"),
    *("wer", "cer", "similarity", "scene", "temperature", "top_p", "top_k", "target_text"),
]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A row of the data set: its audio is a FLAC file, `row` all that the run has of it."""

    split: str
    record: Row
    audio: bytes
    row: Row


class Selection:
    """The rule by which rows are kept, told by their voices and styles."""

    def __init__(
        self, plan: DatasetPlan, voices: Sequence[Voice], speakers: Sequence[str], run: str = ""
    ) -> None:
        self.plan = plan
        self.run = run
        self.split_of = assign_splits(speakers, plan.split_shares, plan.seed)
        self._licence_of = {voice.ref: voice.licence for voice in voices}
        self._style_of = {
            (style.scene and normalize_text(style.scene), *style.settings[1:]): name
            for name, style in plan.style_shares.items()
        }

    def left_out(self, row: Mapping[str, object]) -> str | None:
        """Why a row is not kept: the code of its fault or of the first gate that it did not pass."""
        if row["status"] == "failed":
            return str(row["error_code"])
        if row["gate"] in (None, "passed") and row["status"] == "ok":
            return None
        if row["gate"] == "warned" and self.plan.keep_warned:
            return None
        reasons = row["gate_reasons"]
        assert isinstance(reasons, list)
        return str(reasons[0]).partition(":")[0] if reasons else str(row["gate"])

    def style(self, row: Mapping[str, object]) -> str:
        return self._style_of[tuple(row[name] for name in ("scene", "temperature", "top_p", "top_k"))]

    def rows(self, run_uri: str) -> Iterator[Utterance]:
        """What is kept of a run, shard by shard."""
        for table in iter_results(run_uri):
            for row in table.to_pylist():
                if self.left_out(row) is None:
                    yield Utterance(
                        self.split_of[row["speaker"]], self.record(row), row["audio"]["bytes"], row
                    )

    def record(self, row: Row) -> Row:
        """The row's RECORD."""
        told = {
            "id": row["utterance_id"],
            "text": row["target_text"],
            "synthetic": True,
            "style": self.style(row),
            "reference": posixpath.basename(row["prompt_audio"]),
            "reference_id": row["prompt_id"],
            "reference_text": row["prompt_text"] or row["prompt_text_heard"],
            "reference_licence": self._licence_of.get(row["prompt_audio"]),
            "run": self.run,
        } | {name: row[name] for name in _TAKEN}
        return {name: told[name] for name in RECORD.names}
