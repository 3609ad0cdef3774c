"""What a codec's output is compared by: spectra at several resolutions, on the mel scale and as they are.

Multi-scale mel distance as in descript-audio-codec (Kumar et al. 2023, arXiv:2306.06546), spectral
convergence and log magnitudes as in Parallel WaveGAN (Yamamoto et al. 2020, arXiv:1910.11480). One STFT
per window serves both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torchaudio.functional import melscale_fbanks

# window length in samples at 24 kHz: number of mel bands
SCALES: Mapping[int, int] = {256: 32, 768: 80, 2048: 160}
_FLOOR = 1e-4  # of magnitudes; -80 dB of a full-scale sine's


class SpectralLoss(nn.Module):
    """Distances of two waveforms [B, 1, N], each a mean over the windows of `SCALES`."""

    def __init__(self, sample_rate: int, scales: Mapping[int, int] = SCALES) -> None:
        super().__init__()
        self.scales = dict(scales)
        for window, mels in self.scales.items():
            filters = melscale_fbanks(window // 2 + 1, 0.0, sample_rate / 2, mels, sample_rate)
            self.register_buffer(f"filters{window}", filters, persistent=False)
            self.register_buffer(f"window{window}", torch.hann_window(window), persistent=False)

    def forward(self, estimate: torch.Tensor, truth: torch.Tensor) -> dict[str, torch.Tensor]:
        """`mel` and `log_magnitude` are mean absolute differences of natural logarithms, `convergence` the
        relative error of the magnitudes."""
        estimate, truth = estimate[:, 0].float(), truth[:, 0].float()
        sums = {"mel": estimate.new_zeros(()), "log_magnitude": estimate.new_zeros(())}
        sums["convergence"] = estimate.new_zeros(())
        for window in self.scales:
            filters = self.get_buffer(f"filters{window}")
            spoken, heard = self._magnitudes(estimate, window), self._magnitudes(truth, window)
            sums["mel"] += _log_distance(spoken @ filters, heard @ filters)
            sums["log_magnitude"] += _log_distance(spoken, heard)
            sums["convergence"] += (
                (spoken - heard).norm(dim=(1, 2)) / (heard.norm(dim=(1, 2)) + 1e-3)
            ).mean()
        return {name: total / len(self.scales) for name, total in sums.items()}

    def _magnitudes(self, audio: torch.Tensor, window: int) -> torch.Tensor:
        """[B, frames, bins], scaled so that a full-scale sine is about 1 at any window."""
        frames = audio.unfold(-1, window, window // 4) * self.get_buffer(f"window{window}")
        spectrum: torch.Tensor = torch.fft.rfft(frames) * (4.0 / window)
        # the square root has no gradient at zero
        return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()


def _log_distance(estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (estimate.clamp_min(_FLOOR).log() - truth.clamp_min(_FLOOR).log()).abs().mean()
