"""Words as written and as spoken: a language's abbreviations, and over them the job's own list.

A job's lexicon is a TOML file of pairs; a table named by a language is for that language alone:

Cholmondeley = "Chumley"
"Dr." = "Doctor"
[de]
"GmbH" = "Geh Em Be Ha"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files

from pipeline.errors import ConfigError

MAX_ENTRIES = 20_000
_CLOSING = "\"'”’»)]"

Lexicon = Mapping[str, Mapping[str, str]]  # "" for all languages, or a primary tag -> written -> spoken


def read_lexicon(toml: bytes, name: str) -> Lexicon:
    """Raises ConfigError for what is not TOML and for entries that are not pairs of text."""
    try:
        tree = tomllib.loads(toml.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{name}: not TOML ({error}); fix it") from error
    tables = {"": {key: value for key, value in tree.items() if not isinstance(value, dict)}}
    tables |= {key.lower(): value for key, value in tree.items() if isinstance(value, dict)}
    for language, table in tables.items():
        for written, spoken in table.items():
            if not isinstance(spoken, str) or not written.strip():
                where = f"[{language}] {written}" if language else written
                raise ConfigError(f'{name}: {where} = {spoken!r}: write "as written" = "as spoken"')
    if sum(map(len, tables.values())) > MAX_ENTRIES:
        raise ConfigError(f"{name}: more than {MAX_ENTRIES} entries; take out what the text does not hold")
    return tables


def respeller(lexicon: Lexicon, language: str) -> Callable[[str], str]:
    """Puts what is spoken for what is written, whole words only, as they are written; the longest first."""
    entries = {
        **abbreviations().get(language, {}),
        **lexicon.get("", {}),
        **lexicon.get(language, {}),
    }
    if not entries:
        return lambda text: text
    ordered = sorted(entries, key=len, reverse=True)
    words = re.compile("|".join(_whole(written) for written in ordered))

    def respell(match: re.Match[str]) -> str:
        spoken = entries[match[0]]
        # the period of an abbreviation may be that of its sentence
        ends = match[0].endswith(".") and not match.string[match.end() :].lstrip(_CLOSING).strip()
        return f"{spoken}." if ends else spoken

    return lambda text: words.sub(respell, text)


@lru_cache(maxsize=1)
def abbreviations() -> Lexicon:
    """Those that are read out in full, by language."""
    return read_lexicon(files(__package__).joinpath("abbreviations.toml").read_bytes(), "abbreviations.toml")


def _whole(written: str) -> str:
    before = r"(?<!\w)" if written[0].isalnum() else ""
    behind = r"(?!\w)" if written[-1].isalnum() else ""
    return f"{before}{re.escape(written)}{behind}"
