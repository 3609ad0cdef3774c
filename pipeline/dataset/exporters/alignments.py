"""Word times of every utterance, by forced alignment: TextGrid and SRT for each, CTM for each split.

    <split>/<id>.TextGrid, <split>/<id>.srt, <split>/words-00000.ctm, ...

Its own audio lies in the other formats, under the same ids.
"""

from __future__ import annotations

import io

import torch

from pipeline.audio import decode_audio
from pipeline.dataset.exporters.base import SPLIT, Exporter
from pipeline.dataset.selection import Utterance
from pipeline.dataset.time_files import ctm, srt, textgrid
from pipeline.dataset.word_times import Alphabet, align, spell
from pipeline.errors import RowError
from pipeline.evaluators.ctc_model import CtcModel
from pipeline.storage import Store

_CTM_BYTES = 16 * 2**20


class Alignments(Exporter):
    name = "alignments"
    files = rf"{SPLIT}/([A-Za-z0-9-]+\.(TextGrid|srt)|words-\d{{5}}\.ctm)"

    def __init__(self, store: Store, model: CtcModel) -> None:
        super().__init__(store)
        self._model = model
        self._alphabet = Alphabet(model.characters, model.blank, model.delimiter)
        self._ctm: dict[str, io.BytesIO] = {}
        self._written: dict[str, int] = {}

    def add(self, utterance: Utterance) -> None:
        record, split = utterance.record, utterance.split
        try:
            words = spell(record["text"], record["language"], self._alphabet)
            clip = decode_audio(utterance.audio)
            timed = align(self._model.log_probs(clip), words, self._alphabet, clip.duration_s)
        except RowError as error:
            self.left_out[error.code] += 1
            return
        key = f"{split}/{record['id']}"
        self.store.put(f"{key}.TextGrid", textgrid(timed, clip.duration_s).encode())
        self.store.put(f"{key}.srt", srt(timed))
        lines = self._ctm.setdefault(split, io.BytesIO())
        lines.write(ctm(record["id"], timed).encode())
        if lines.tell() >= _CTM_BYTES:
            self._write(split)

    def finish(self) -> None:
        for split in list(self._ctm):
            self._write(split)

    def _write(self, split: str) -> None:
        number = self._written.get(split, 0)
        self.store.put(f"{split}/words-{number:05d}.ctm", self._ctm.pop(split).getvalue())
        self._written[split] = number + 1

    def how_to_load(self, split: str) -> str:
        return (
            f"# aligned by {self._model.id}\n"
            "from praatio import textgrid\n\n"
            f'words = textgrid.openTextgrid("{split}/ID.TextGrid", includeEmptyIntervals=False)'
        )


def aligning_device(device: str) -> str:
    """Of a job's `model.device`."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
