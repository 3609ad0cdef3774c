"""DNSMOS P.835 (Reddy et al. 2022, arXiv 2110.01763), with the weights that the speechmos wheel carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform, resample
from pipeline.evaluators.base import QualityScores
from pipeline.evaluators.checkpoints import missing_package, package_version
from pipeline.metrics.silence import speech_frames

_SAMPLE_RATE = 16_000
_WINDOW_S = 9.01
_WINDOW = 144_160  # the same in samples: the model's input
_NAME = "dnsmos"


class DNSMOSModel:
    """The non-personalised model on the CPU: mean over 9.01 s windows, one per second of audio.

    A shorter clip is doubled until it fills one, as speechmos does. Its own `run` also computes P.808 scores,
    which need a mel spectrogram and a second network.
    """

    def __init__(self) -> None:
        """Raises CheckpointError where speechmos, onnxruntime, librosa or requests is missing."""
        try:
            import onnxruntime
            from speechmos import dnsmos
        except ImportError as error:
            raise missing_package("speechmos", _NAME, "quality") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # its own default is every core, and its threads wait by spinning
        weights = Path(dnsmos.__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
        self._session = onnxruntime.InferenceSession(str(weights), options)
        self._to_opinion_scores = partial(dnsmos.DNSMOS.get_polyfit_val, None)  # it reads no instance
        self.id = f"{_NAME}-p835/speechmos-{package_version('speechmos', _NAME, 'quality')}"

    def rate(self, waveforms: Sequence[Waveform]) -> list[QualityScores | None]:
        """One per waveform, in order, a window at a time: on a CPU batches of 4 and 16 measured slower."""
        return [self._one(waveform) if speech_frames(waveform).any() else None for waveform in waveforms]

    def _one(self, waveform: Waveform) -> QualityScores:
        raw = [self._session.run(None, {"input_1": one})[0][0] for one in _windows(waveform)]
        signal, background, overall = self._to_opinion_scores(*np.array(raw, np.float64).T, False)
        return QualityScores(float(overall.mean()), float(signal.mean()), float(background.mean()))


def _windows(waveform: Waveform) -> Iterator[npt.NDArray[np.float32]]:
    """[1, 144160] each, at 16 kHz in -1..1 (resampling overshoots), as many as speechmos takes."""
    samples = np.clip(resample(waveform, _SAMPLE_RATE).samples, -1.0, 1.0)
    while len(samples) < _WINDOW:
        samples = np.append(samples, samples)
    for second in range(int(len(samples) // _SAMPLE_RATE - _WINDOW_S) + 1):
        start, end = second * _SAMPLE_RATE, int((second + _WINDOW_S) * _SAMPLE_RATE)
        # where that product is rounded down a sample is missing, and DNSMOS's own script skips the window
        if end - start == _WINDOW:
            yield samples[None, start:end]
