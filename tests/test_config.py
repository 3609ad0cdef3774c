from __future__ import annotations

import pytest

from pipeline.config import Limits, RunConfig, config_from_dict, differences, fingerprint, load_config
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
        ("resources.engine_actors_max=-1", "0 or more"),
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
    assert differences(old, new) == [("sampling.top_p", None, 0.5)]


def test_limits_of_languages_are_tables_in_a_table() -> None:
    toml = b"[gates]\nmax_wer = 0.3\n[gates.languages.zh]\nmax_cer = 0.2\nmust_end = false\n"
    config = load_config(toml, ["gates.languages.pt-BR.max_wer=0.1", "gates.max_takes=3"])
    gates = config.gates
    assert (gates.max_wer, gates.max_takes, gates.otherwise) == (0.3, 3, "warn")
    assert gates.languages == {"zh": Limits(max_cer=0.2, must_end=False), "pt-BR": Limits(max_wer=0.1)}
    assert config_from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("gates.languages=zh", "gates.languages must be a table of tables"),
        ("gates.languages.zh.max_war=1", "unknown setting gates.languages.zh.max_war; did you mean max_"),
        ("gates.languages.zh.max_takes=1", "unknown setting gates.languages.zh.max_takes"),
        ("gates.languages.zh=0.3", r"\[gates.languages.zh\] must be a table"),
        ("gates.max_takes=0", "gates.max_takes = 0: must be 1 to 100"),
    ],
)
def test_what_is_wrong_with_gates(assignment: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(None, [assignment])


def test_a_setting_is_no_table() -> None:
    with pytest.raises(ConfigError, match="max_wer is a setting"):
        load_config(None, ["gates.max_wer=0.3", "gates.max_wer.zh=0.2"])
