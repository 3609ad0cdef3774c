"""Language tags, as far as they are looked at here."""

from __future__ import annotations


def primary_subtag(language: str) -> str:
    """`en` of `en-GB`, also as `EN_gb` (BCP 47)."""
    return language.replace("_", "-").partition("-")[0].lower()
