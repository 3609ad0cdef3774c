"""URI of a reference or a ground truth -> its bytes and what identifies them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pipeline.errors import RowError
from pipeline.sources import read_source
from pipeline.uri_rules import PUBLIC_ONLY, UriRules
from pipeline.uris import shown

# Of a ground truth, which is a voice to compare with: no model speaks after it, whatever it says.
NO_TRANSCRIPT = ""


@dataclass(frozen=True, slots=True)
class LoadedPrompt:
    data: bytes
    audio_sha256: str


def load_prompt(uri: str, max_bytes: int, rules: UriRules) -> LoadedPrompt:
    """Raises the RowErrors of `read_source`."""
    data = read_source(uri, max_bytes, rules)
    return LoadedPrompt(data, hashlib.sha256(data).hexdigest())


def prompt_id(audio_sha256: str, prompt_text: str | None, language: str) -> str:
    """32 hex digits that name an (audio, transcript) pair, wherever the file lies.

    A transcript that is still to be heard depends on the language it is heard in.
    """
    said = b"\x00" + language.encode() if prompt_text is None else b"\x01" + prompt_text.encode()
    return hashlib.sha256(bytes.fromhex(audio_sha256) + said).hexdigest()[:32]


def load_planned_prompt(
    uri: str,
    planned_id: str,
    prompt_text: str | None,
    language: str,
    max_bytes: int,
    rules: UriRules = PUBLIC_ONLY,
) -> LoadedPrompt:
    """As `load_prompt`; a file that is no longer the one that was checked is RowError `prompt_changed`."""
    prompt = load_prompt(uri, max_bytes, rules)
    if prompt_id(prompt.audio_sha256, prompt_text, language) != planned_id:
        raise RowError("prompt_changed", f"{shown(uri)} is not the file that was checked; start a new run")
    return prompt
