from __future__ import annotations

import pytest

from pipeline.config import RunConfig, config_from_dict, differences, fingerprint, load_config
from pipeline.errors import ConfigError


def test_a_job_file_then_assignments_over_it() -> None:
    config = load_config(
        b'[model]\ncheckpoint = "/models/x"\n[sampling]\ntemperature = 0.3\ntop_k = 40\n',
        ["sampling.temperature=0.7", "output.audio_files=true", "model.revision=none"],
    )
    assert config.model.checkpoint == "/models/x"
    assert config.model.codec_spec == "/models/x"
    assert config.sampling.temperature == 0.7
    assert config.sampling.top_k == 40
    assert config.output.audio_files is True
    assert config.model.revision is None


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("sampling.tempratur=1", "did you mean temperature?"),
        ("samplng.top_k=1", "did you mean sampling?"),
        ("sampling.top_k=many", "expected int"),
        ("sampling.top_k=1.5", "expected int"),
        ("sampling.top_p=2", "above 0 and at most 1"),
        ("sampling.temperature=0", "above 0"),
        ("model.semantic=maybe", "auto or on or off"),
        ("output.audio_files=perhaps", "expected bool"),
        ("output.shard_rows=0", "1 to 4096"),
        ("resources.assumed_speed=0", "above 0"),
        ("resources.check_threads=0", "at least 1"),
        ("resources.engine_actors=-1", "0 or more"),
        ("model.device=gpu", "auto or cpu or cuda"),
        ("model.slots=-1", "0 or more"),
        ("model.max_positions=64", "at least 128"),
        ("model.row_deadline_s=0", "above 0"),
        ("sampling.seed=inf", "expected int"),
        ("check.min_prompt_s=40", "must be 0 to 30"),
        ("temperature=1", "section.key=value"),
        ("sampling.temperature", "section.key=value"),
    ],
)
def test_wrong_assignments_say_what_and_how(assignment: str, says: str) -> None:
    with pytest.raises(ConfigError, match="(?i)" + says.replace("?", r"\?").replace("*", r"\*")):
        load_config(None, [assignment])


def test_a_string_where_the_job_file_wants_a_number() -> None:
    with pytest.raises(ConfigError, match="expected float"):
        load_config(b'[sampling]\ntemperature = "0.3"\n')


def test_not_toml() -> None:
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(b"[sampling\n")


def test_round_trip_through_a_dict() -> None:
    config = load_config(None, ["sampling.seed=7", "resources.num_cpus=2"])
    assert config_from_dict(config.to_dict()) == config


def test_fingerprint_follows_content_not_order() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2}}) == fingerprint({"b": {"c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_differences_name_the_leaves() -> None:
    old, new = RunConfig().to_dict(), load_config(None, ["sampling.top_p=0.5"]).to_dict()
    assert differences(old, new) == [("sampling.top_p", 0.95, 0.5)]
