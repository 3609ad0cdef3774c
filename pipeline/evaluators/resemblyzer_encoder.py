"""The embedded speaker encoder: Resemblyzer (GE2E LSTM) with the weights that its wheel carries."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform, resample
from pipeline.evaluators.base import SpeakerEmbedding, as_embedding, is_silent
from pipeline.evaluators.checkpoints import missing_package, package_version

_SAMPLE_RATE = 16_000
_VAD_WINDOW = 480  # samples: 30 ms, Resemblyzer's `vad_window_length`
_PARTS_PER_S, _LEAST_OF_PART = 1.3, 0.75  # defaults of its `embed_utterance`
_UNVOICED = SpeakerEmbedding(None, "no voiced audio to take an embedding of")


class ResemblyzerEncoder:
    """256 dimensions, unit length, no negative element: unlike voices, too, lie at 0.5 to 0.8."""

    def __init__(self, device: str = "cpu") -> None:
        """Raises CheckpointError where the package is missing."""
        try:
            with warnings.catch_warnings():
                # its import of scipy.ndimage.morphology is deprecated
                warnings.simplefilter("ignore", DeprecationWarning)
                from resemblyzer import VoiceEncoder, preprocess_wav
        except ImportError as error:
            raise missing_package("Resemblyzer") from error
        from torchaudio.transforms import MelSpectrogram

        self._preprocess = preprocess_wav
        self._encoder = VoiceEncoder(device=device, verbose=False).eval()
        # what librosa's `feature.melspectrogram` computes by default; to import that takes 5 s
        self._mel = MelSpectrogram(
            _SAMPLE_RATE,
            n_fft=400,
            hop_length=160,
            n_mels=40,
            pad_mode="constant",
            norm="slaney",
            mel_scale="slaney",
        )
        self.id = f"demo:resemblyzer-{package_version('Resemblyzer')}"

    def embed(self, waveforms: Sequence[Waveform]) -> list[SpeakerEmbedding]:
        """One vector [256] per waveform, in order; unscored where voice activity detection leaves nothing."""
        return [self._one(waveform) for waveform in waveforms]

    def _one(self, waveform: Waveform) -> SpeakerEmbedding:
        if is_silent(waveform):
            return _UNVOICED
        # beyond full scale its detector's 16-bit samples would wrap around
        samples = np.clip(resample(waveform, _SAMPLE_RATE).samples, -1.0, 1.0)
        if len(samples) < _VAD_WINDOW:
            return _UNVOICED
        voiced = self._preprocess(samples)
        if len(voiced) == 0:
            return _UNVOICED
        return as_embedding(self._of_parts(voiced))

    def _of_parts(self, voiced: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Resemblyzer's `embed_utterance`: the mean over parts of 1.6 s, of length one."""
        import torch

        in_samples, in_frames = self._encoder.compute_partial_slices(
            len(voiced), _PARTS_PER_S, _LEAST_OF_PART
        )
        padded = np.pad(voiced, (0, max(in_samples[-1].stop - len(voiced), 0))).astype(np.float32)
        with torch.inference_mode():
            mel = self._mel(torch.from_numpy(padded)).T
            parts = torch.stack([mel[frames] for frames in in_frames])
            mean = self._encoder(parts.to(self._encoder.device)).mean(dim=0)
            of_length_one: npt.NDArray[np.float32] = (mean / mean.norm()).cpu().numpy()
        return of_length_one
