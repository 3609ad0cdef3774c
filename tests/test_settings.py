from __future__ import annotations

import tomllib

from pipeline.config import RunConfig, config_from_dict, load_config
from pipeline.settings import MEANINGS, settings_toml


def test_every_setting_has_a_meaning_and_no_other_has() -> None:
    known = {section: set(values) for section, values in RunConfig().to_dict().items()}
    assert {section: set(meanings) for section, meanings in MEANINGS.items()} == known


def test_the_job_file_says_what_each_setting_means() -> None:
    config = load_config(None, ["sampling.top_k=7", 'model.codec=/a "b"'])
    text = settings_toml(config)
    assert config_from_dict(tomllib.loads(text)) == config
    lines = text.splitlines()
    assert lines[lines.index("top_k = 7") - 1] == f"# {MEANINGS['sampling']['top_k']}"
    assert "# revision =" in lines, "an unset one is shown, too"


def test_limits_of_a_language_are_a_table_of_the_job_file() -> None:
    config = load_config(None, ["gates.languages.zh.max_cer=0.2", "gates.languages.pt-BR.min_similarity=0.5"])
    text = settings_toml(config)
    assert "\n[gates.languages.zh]\n" in text
    assert config_from_dict(tomllib.loads(text)) == config
