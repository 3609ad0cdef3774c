from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.training.phones import PHONES, phone_labels


def test_labels_are_what_is_said_every_10_ms():
    phones = [{"phone": "pau", "end_s": 0.02}, {"phone": "s", "end_s": 0.05}, {"phone": "iy", "end_s": 0.06}]
    said = [PHONES[i] for i in phone_labels(phones, 8)]
    # 0, 10 | 20, 30, 40 | 50 | after the end
    assert said == ["pau", "pau", "s", "s", "s", "iy", "pau", "pau"]


def test_flites_other_pauses_are_pauses():
    assert PHONES[phone_labels([{"phone": "ssil", "end_s": 1.0}], 1)[0]] == "pau"


def test_an_unknown_phone_is_said():
    with pytest.raises(ConfigError, match="'qq' is no phone"):
        phone_labels([{"phone": "qq", "end_s": 1.0}], 1)
