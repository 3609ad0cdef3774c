"""Speech made faster at the same pitch: Signalsmith Stretch, which gives the length asked for."""

from __future__ import annotations

import numpy as np
from python_stretch import Signalsmith

from pipeline.programme.timeline import Samples

_SEED = 0  # its phases are drawn at random: the same clip shall become the same clip


def stretched(samples: Samples, sample_rate: int, length: int) -> Samples:
    """Mono samples [N] as `length` samples with the same pitch, sample i lying at i * length / N."""
    if len(samples) == 0 or length == 0:
        return np.zeros(length, np.float32)
    if len(samples) == length:
        return samples
    stretch = Signalsmith.Stretch(_SEED)
    stretch.preset(1, sample_rate)
    stretch.setTimeFactor(len(samples) / length)
    # silence behind, or its last window would be half a window of sound
    behind = np.pad(np.asarray(samples, np.float32), (0, stretch.blockSamples()))
    made = np.asarray(stretch.process(behind[None, :]), np.float32)
    return exactly(made[0], length)


def exactly(samples: Samples, length: int) -> Samples:
    """Cut, or filled up with silence, to `length`: for the sample by which a library rounds."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))
