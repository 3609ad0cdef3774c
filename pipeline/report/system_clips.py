"""Two systems' clips by utterance id, for jobs that set one beside the other: a finished run, or a folder."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from pipeline.audio import decode_audio, to_int16
from pipeline.commit import Commit, ShardLog
from pipeline.errors import ManifestError, RowError
from pipeline.metrics.intervals import voice_block
from pipeline.results import has_audio
from pipeline.run import complete_run, is_run
from pipeline.storage import open_store

_AUDIO = frozenset({".wav", ".flac", ".mp3", ".ogg"})


@dataclass(frozen=True, slots=True)
class Item:
    text: str | None  # None where the system does not say: a folder
    voice: str
    shard: str = ""  # where a run keeps it


class RunClips:
    """A finished run's clips by utterance id; None for one that failed or was rejected."""

    def __init__(self, uri: str) -> None:
        self._log = ShardLog(complete_run(uri, "comparing"))
        self._commits: dict[str, Commit] = {}
        self.items: dict[str, Item] = {}
        for commit in self._log.commits():
            self._commits[commit.key] = commit
            columns = ["utterance_id", "target_text", "prompt_audio", "speaker"]
            for row in self._log.read_table(commit, columns).to_pylist():
                self.items[row["utterance_id"]] = Item(row["target_text"], voice_block(row), commit.key)
        self._shard = lru_cache(maxsize=2)(self._read_shard)

    def clip(self, item_id: str) -> bytes | None:
        return self._shard(self.items[item_id].shard).get(item_id)

    def _read_shard(self, shard: str) -> dict[str, bytes]:
        rows = self._log.read_table(self._commits[shard], ["utterance_id", "status", "audio"]).to_pylist()
        return {
            row["utterance_id"]: row["audio"]["bytes"]
            for row in rows
            if row["status"] == "ok" and has_audio(row["audio"])
        }


class FolderClips:
    """Audio files of a folder, by file name without suffix."""

    def __init__(self, uri: str) -> None:
        self._store = open_store(uri)
        self._keys = {
            PurePosixPath(key).stem: key
            for key in self._store.list()
            if PurePosixPath(key).suffix.lower() in _AUDIO
        }
        if not self._keys:
            raise ManifestError(f"{uri} is no run and holds no audio files; name one of the two")
        self.items = {name: Item(None, "") for name in self._keys}

    def clip(self, item_id: str) -> bytes | None:
        key = self._keys.get(item_id)
        return None if key is None else self._store.get(key)


Clips = RunClips | FolderClips


def open_clips(uri: str) -> Clips:
    return RunClips(uri) if is_run(uri) else FolderClips(uri)


def as_wav(clip: bytes | None) -> bytes | None:
    """16-bit mono WAV, which every judge takes. None for none, and for what is not readable as audio."""
    if clip is None:
        return None
    try:
        waveform = decode_audio(clip)
    except RowError:
        return None
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(waveform.sample_rate)
        file.writeframes(to_int16(waveform.samples).astype("<i2").tobytes())
    return buffer.getvalue()
