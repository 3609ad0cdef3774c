"""A mark in the speech, some 14 dB below it, that outlives a change of format: Perth, by Resemble AI (MIT).

It says one bit: this was made by a machine. Marks lie below 2 kHz, under what masks them.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform, resample
from pipeline.errors import CheckpointError
from pipeline.evaluators.checkpoints import missing_package, package_version

NONE = "none"
_PERTH = "perth"
_PACKAGE = "resemble-perth"
_SAMPLE_RATE = 32_000  # what its network was trained at
_WINDOW = 2048  # samples of its spectrogram; shorter clips it cannot take
_HOP = 320


def watermark_id(spec: str) -> str:
    """What a run is made with: `none`, or the name and version. Raises CheckpointError."""
    if spec == NONE:
        return NONE
    if spec != _PERTH:
        raise CheckpointError(f"{spec}: no such watermark; there is {_PERTH}, and {NONE}")
    return f"{_PERTH}-{package_version(_PACKAGE, _PERTH, 'watermark')}"


def load_watermark(spec: str, device: str = "cpu") -> PerthWatermark | None:
    """None for `none`. Raises CheckpointError for another name, and where the package is missing."""
    return None if watermark_id(spec) == NONE else PerthWatermark(device)


class PerthWatermark:
    def __init__(self, device: str = "cpu") -> None:
        """Raises CheckpointError where the package, or one that it needs and does not name, is missing."""
        try:
            from perth import PerthImplicitWatermarker
        except ImportError as error:
            raise missing_package(_PACKAGE, _PERTH, "watermark") from error
        if PerthImplicitWatermarker is None:  # it swallows what goes wrong in its own imports
            raise CheckpointError(
                "perth is installed but not importable (librosa or pkg_resources is missing): "
                "pip install 'voicemill[watermark]', which has setuptools<81 in it"
            )
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
            self._perth = PerthImplicitWatermarker(device=device)
        self.id = watermark_id(_PERTH)

    def embed(self, waveform: Waveform) -> Waveform:
        """The waveform with the mark: same rate, same length.

        The mark alone is resampled and added, so that what the network's rate cannot hold stays.
        """
        import torch

        before = self._padded(waveform)
        with torch.inference_mode():
            after = self._perth.apply_watermark(before, sample_rate=_SAMPLE_RATE)
        mark = resample(Waveform(after - before, _SAMPLE_RATE), waveform.sample_rate).samples
        length = len(waveform.samples)
        return replace(waveform, samples=waveform.samples + mark[:length])

    def detect(self, waveform: Waveform) -> float:
        """How sure it is of a mark, 0 to 1: unmarked speech lies near 0, marked near 1."""
        import torch

        with torch.inference_mode():
            found = self._perth.get_watermark(self._padded(waveform), sample_rate=_SAMPLE_RATE, round=False)
        # digital silence has no frame to judge by, and gives NaN
        return float(np.nan_to_num(np.mean(found)))

    def _padded(self, waveform: Waveform) -> npt.NDArray[np.float32]:
        """At the network's rate, in whole hops: what is over, the inverse spectrogram would drop."""
        samples = resample(waveform, _SAMPLE_RATE).samples
        length = max(_WINDOW, -(-len(samples) // _HOP) * _HOP)
        return np.pad(samples, (0, -(-length // _HOP) * _HOP - len(samples)))
