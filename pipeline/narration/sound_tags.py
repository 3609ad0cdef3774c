"""Sounds that a text asks for, `[laugh]`, in the marks that Higgs Audio v2 was trained on.

Source: the table in the original repository's examples/generation.py.
"""

from __future__ import annotations

import re

SOUND_TAGS = {
    "[laugh]": "<SE>[Laughter]</SE>",
    "[humming start]": "<SE_s>[Humming]</SE_s>",
    "[humming end]": "<SE_e>[Humming]</SE_e>",
    "[music start]": "<SE_s>[Music]</SE_s>",
    "[music end]": "<SE_e>[Music]</SE_e>",
    "[music]": "<SE>[Music]</SE>",
    "[sing start]": "<SE_s>[Singing]</SE_s>",
    "[sing end]": "<SE_e>[Singing]</SE_e>",
    "[applause]": "<SE>[Applause]</SE>",
    "[cheering]": "<SE>[Cheering]</SE>",
    "[cough]": "<SE>[Cough]</SE>",
}
_TAGS = re.compile(f"({'|'.join(map(re.escape, SOUND_TAGS))})")


def parted_at_sounds(text: str) -> list[str]:
    """The text in order, each tag an item of its own."""
    return [part for part in _TAGS.split(text) if part]
