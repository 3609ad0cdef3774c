"""The corpus as two flat arrays, for random crops: samples, and the phone said every 10 ms.

Built once from the corpus' shards and then memory-mapped, so that a crop costs a copy. A batch is a
function of (seed, step): training resumes without any data state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

from pipeline.audio import decode_audio, to_int16
from pipeline.errors import ConfigError
from pipeline.storage import Store
from pipeline.training.phones import LABEL_RATE, phone_labels
from pipeline.training.teacher import SAMPLE_RATE

_HOP = SAMPLE_RATE // LABEL_RATE  # samples per label
_GAIN_DB = (-6.0, 3.0)  # real references are not as even in loudness as the corpus is


@dataclass(frozen=True, slots=True)
class Crops:
    """Audio [B, 1, N] and a phone label per half code frame, [B, 2 T]."""

    audio: torch.Tensor
    phones: torch.Tensor


@dataclass(frozen=True, slots=True)
class Clips:
    """All clips end to end: int16 samples, a label per 240 samples, and where each clip begins, in labels."""

    samples: npt.NDArray[np.int16]
    labels: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]

    def crops(self, seed: int, step: int, batch: int, frames: int, hop: int) -> Crops:
        """`batch` random crops of `frames` code frames of `hop` samples; a clip shorter than that is
        followed by silence."""
        rng = np.random.default_rng([seed, step])
        audio = np.zeros((batch, 1, frames * hop), np.float32)
        phones = np.zeros((batch, 2 * frames), np.int64)
        wanted = frames * hop // _HOP
        for i, clip in enumerate(rng.integers(0, len(self.starts) - 1, batch)):
            first, end = self.starts[clip], self.starts[clip + 1]
            first += rng.integers(0, max(1, end - first - wanted + 1))
            end = min(end, first + wanted)
            cut = self.samples[first * _HOP : end * _HOP]
            audio[i, 0, : len(cut)] = cut * (10 ** (rng.uniform(*_GAIN_DB) / 20) / 32768.0)
            # the label at the middle of each half frame
            said = self.labels[first:end][hop // _HOP // 4 :: hop // _HOP // 2]
            phones[i, : len(said)] = said
        return Crops(torch.from_numpy(audio), torch.from_numpy(phones))


def build_clips(corpus: Store, folder: Path, split: str = "train") -> int:
    """Write the clips of one split of the corpus to `folder`; returns their number. Whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    starts, labels = [0], []
    with (folder / "samples.part").open("wb") as file:
        for samples, said in _clips(corpus, split):
            file.write(samples.tobytes())
            labels.append(said)
            starts.append(starts[-1] + len(said))
    if len(starts) == 1:
        raise ConfigError(f"{corpus.uri}: no {split} utterances: run python -m jobs.synthesize_corpus first")
    os.replace(folder / "samples.part", folder / "samples.int16")
    np.save(folder / "labels.npy", np.concatenate(labels))
    np.save(folder / "starts.npy", np.asarray(starts, np.int64))
    # last: it says that the others are whole
    (folder / "clips.json").write_text(json.dumps({"clips": len(starts) - 1, "split": split}) + "\n", "utf-8")
    return len(starts) - 1


def open_clips(folder: Path) -> Clips | None:
    """The clips that `build_clips` wrote, memory-mapped; None if it has not, or not to the end."""
    if not (folder / "clips.json").is_file():
        return None
    return Clips(
        samples=np.memmap(folder / "samples.int16", np.int16, "r"),
        labels=np.load(folder / "labels.npy"),
        starts=np.load(folder / "starts.npy"),
    )


def _clips(corpus: Store, split: str) -> Iterator[tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]]:
    for key in sorted(corpus.list("")):
        if not key.endswith(".parquet"):
            continue
        with corpus.open(key) as file:
            table = pq.read_table(file, columns=["split", "audio", "phones"])
        for row in table.to_pylist():
            if row["split"] == split:
                samples = to_int16(decode_audio(row["audio"]["bytes"]).samples)
                whole = len(samples) // _HOP
                yield samples[: whole * _HOP], phone_labels(row["phones"], whole)
