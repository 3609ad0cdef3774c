"""flite's US English phones, and what is said at each moment of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError

# fmt: off
PHONES = (
    "pau", "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh",
    "ih", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v",
    "w", "y", "z", "zh",
)
# fmt: on
PAUSE = PHONES.index("pau")
LABEL_RATE = 100  # labels per second
PHONES_PER_FRAME = 4  # of 25 Hz
_SAME = {"ssil": "pau", "brth": "pau", "h#": "pau"}
_INDEX = {phone: i for i, phone in enumerate(PHONES)}


def phone_labels(phones: Sequence[Mapping[str, Any]], num_labels: int) -> npt.NDArray[np.uint8]:
    """Indices into PHONES [num_labels]: what is said at time i / LABEL_RATE. After the last phone: pau.

    `phones` has `phone` and `end_s`, in order. Raises ConfigError for a phone that is not flite's.
    """
    try:
        ids = [_INDEX[_SAME.get(p["phone"], p["phone"])] for p in phones]
    except KeyError as error:
        raise ConfigError(f"{error} is no phone of flite's US English voices") from error
    ends = [p["end_s"] for p in phones]
    at = np.searchsorted(ends, np.arange(num_labels) / LABEL_RATE, side="right")
    return np.append(np.asarray(ids, np.uint8), np.uint8(0))[at]
