"""LJSpeech's layout, once for each voice, since the format knows of no speakers.

<split>/<voice>/metadata.csv        id|text|text, no header, no quotes
<split>/<voice>/wavs/<id>.wav       16 bit PCM
provenance-00000.jsonl, ...         all that is known of each id
"""

from __future__ import annotations

import hashlib
import io

import soundfile

from pipeline.dataset.exporters.base import SPLIT, Exporter
from pipeline.dataset.sampling import speaker_name
from pipeline.dataset.selection import Utterance
from pipeline.export import json_line
from pipeline.storage import Store

_PROVENANCE_BYTES = 16 * 2**20


class LJSpeech(Exporter):
    name = "ljspeech"
    files = rf"{SPLIT}/[A-Za-z0-9-]+/(metadata\.csv|wavs/[A-Za-z0-9-]+\.wav)|provenance-\d{{5}}\.jsonl"

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._metadata: dict[str, io.BytesIO] = {}
        self._provenance = io.BytesIO()
        self._written = 0

    def add(self, utterance: Utterance) -> None:
        record = utterance.record
        key, text = record["id"], record["text"]
        if "|" in text:
            self.left_out["text_has_bar"] += 1
            return
        folder = f"{utterance.split}/{_voice_folder(record['speaker'])}"
        self.store.put(f"{folder}/wavs/{key}.wav", wav_of(utterance.audio))
        lines = self._metadata.setdefault(folder, io.BytesIO())
        # the third column is the text as it is said: ours is not rewritten
        lines.write(f"{key}|{text}|{text}\n".encode())
        self._provenance.write(json_line(record).encode() + b"\n")
        if self._provenance.tell() >= _PROVENANCE_BYTES:
            self._write_provenance()

    def finish(self) -> None:
        for folder, lines in self._metadata.items():
            self.store.put(f"{folder}/metadata.csv", lines.getvalue())
        if self._provenance.tell():
            self._write_provenance()

    def _write_provenance(self) -> None:
        self.store.put(f"provenance-{self._written:05d}.jsonl", self._provenance.getvalue())
        self._provenance = io.BytesIO()
        self._written += 1

    def how_to_load(self, split: str) -> str:
        return (
            "import csv\n\n"
            f'with open("{split}/<voice>/metadata.csv", newline="", encoding="utf-8") as file:\n'
            '    rows = list(csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE))'
        )


def wav_of(flac: bytes) -> bytes:
    """The same samples as a 16 bit WAV file."""
    samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    wav = io.BytesIO()
    soundfile.write(wav, samples, rate, format="WAV", subtype="PCM_16")
    return wav.getvalue()


def _voice_folder(speaker: str) -> str:
    """The speaker's name, marked where it is no plain folder name of its own."""
    plain = speaker_name(speaker)
    if plain == speaker and plain == plain.lower():
        return plain
    return f"{plain}-{hashlib.sha256(speaker.encode()).hexdigest()[:6]}"
