"""References are kept by their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import CheckConfig, RunConfig
from pipeline.errors import ConfigError, RowError
from pipeline.programme.references import keep_bytes, keep_reference, with_own_references
from pipeline.storage import open_store
from pipeline.uri_rules import rules_of


def test_kept_by_content(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    (tmp_path / "a.WAV").write_bytes(b"one")
    (tmp_path / "b.wav").write_bytes(b"one")
    base = str(tmp_path / "voices.toml")
    key = keep_reference(store, base, "a.WAV", CheckConfig(), "[A]")
    assert key == "voices/7692c3ad3540bb80.wav"  # sha256sum of `one`
    assert keep_reference(store, base, "b.wav", CheckConfig(), "[B]") == key
    (tmp_path / "b.wav").write_bytes(b"two")
    assert keep_reference(store, base, "b.wav", CheckConfig(), "[B]") != key
    assert store.get(key) == b"one"


def test_odd_suffixes_are_left_out(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    (tmp_path / "a.w$v").write_bytes(b"one")
    assert (
        keep_reference(store, str(tmp_path / "v.toml"), "a.w$v", CheckConfig(), "[A]")
        == "voices/7692c3ad3540bb80"
    )


def test_what_is_at_hand_has_the_same_key(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    assert keep_bytes(store, b"one", ".wav") == "voices/7692c3ad3540bb80.wav"


def test_own_copies_are_allowed_where_references_are_restricted(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    free = RunConfig()
    assert with_own_references(free, store) == free
    config = with_own_references(RunConfig(check=CheckConfig(allowed_prefixes=["s3://them/"])), store)
    rules = rules_of(config.check)
    rules.check(f"{tmp_path}/out/voices/a.wav")
    rules.check("s3://them/a.wav")
    with pytest.raises(RowError, match=r"outside check\.allowed_prefixes"):
        rules.check(f"{tmp_path}/out/clips/a.wav")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    with pytest.raises(ConfigError, match=r"^\[A\]: .*check the name"):
        keep_reference(store, str(tmp_path / "v.toml"), "none.wav", CheckConfig(), "[A]")
    (tmp_path / "a.wav").write_bytes(b"one")
    with pytest.raises(ConfigError, match=r"^\[A\]: "):
        keep_reference(store, str(tmp_path / "v.toml"), "a.wav", CheckConfig(max_prompt_bytes=2), "[A]")
