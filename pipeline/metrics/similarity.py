"""Speaker similarity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def cosine(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    """Cosine of the angle between two embeddings [D], in -1..1.

    Raises ValueError where it is not defined: another shape, a zero or a non-finite vector.
    """
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"embeddings of shapes {a.shape} and {b.shape} cannot be compared")
    # scaled by the largest element: the squares of very small or large values neither vanish nor overflow
    x, y = _scaled(a), _scaled(b)
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1.0, 1.0))


def _scaled(vector: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide: npt.NDArray[np.float64] = vector.astype(np.float64)
    largest = float(np.abs(wide).max(initial=0.0))
    if not np.isfinite(largest) or largest == 0.0:
        raise ValueError("an embedding that is zero or not finite has no direction")
    return wide / largest
