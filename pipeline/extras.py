"""Packages that only some commands need: the extra that brings them, said before anything is done."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import ConfigError

STUDIO = (
    *("av", "babel", "lxml", "markdown_it", "num2words", "pysbd", "pysubs2", "python_stretch"),
    *("roman_numerals", "webvtt", "yaml"),
)


def require_studio(command: str) -> None:
    """Raises ConfigError where a package of the extra `studio` is not installed."""
    if missing := [name for name in STUDIO if find_spec(name) is None]:
        raise ConfigError(
            f"{command} needs the extra studio, and {', '.join(missing)} cannot be imported: "
            "pip install 'voicemill[studio]'"
        )
