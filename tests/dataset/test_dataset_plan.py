"""A plan says what it wants, and is refused in one line where it does not make sense."""

from __future__ import annotations

import pytest

from pipeline.dataset.plan import DatasetPlan, Style, load_plan
from pipeline.errors import ConfigError

WHOLE = b"""
name = "Harbour voices"
hours = 10
hours_per_voice = 0.5
languages = ["en", "de"]
seed = 7
keep_warned = true

[styles.calm]
share = 0.7
[styles.busy]
share = 0.3
scene = "A busy market."
temperature = 0.9
top_k = 40

[splits]
train = 0.9
valid = 0.1

[licence]
dataset = "cc-by-4.0"
allow_training_restricted = true
"""


def test_a_whole_plan_is_read() -> None:
    plan = load_plan(WHOLE)
    assert (plan.name, plan.hours, plan.hours_per_voice, plan.seed) == ("Harbour voices", 10.0, 0.5, 7)
    assert plan.style_shares["busy"] == Style(0.3, "A busy market.", 0.9, None, 40)
    assert plan.split_shares == {"train": 0.9, "valid": 0.1}
    assert plan.licence.dataset == "cc-by-4.0"
    assert plan.licence.allow_training_restricted
    assert plan.keep_warned


def test_what_is_not_said_is_one_plain_style_in_one_split() -> None:
    plan = load_plan(b"hours = 1")
    assert plan.style_shares == {"plain": Style()}
    assert plan.split_shares == {"train": 1.0}
    assert not plan.licence.allow_training_restricted


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("", "wants no hours"),
        ("hours = 0", "above 0"),
        ("hours = nan", "above 0"),
        ("hour = 1", "did you mean hours"),
        ("hours = 1\nstyles = 3", "must be a table of tables"),
        ("hours = 1\n[styles.a]\nshares = 1", "did you mean share"),
        ("hours = 1\n[styles.a]\nshare = 0", "above 0"),
        ("hours = 1\n[styles.a]\ntemperature = 9.0", "temperature = 9.0"),
        ("hours = 1\n[styles.a]\n[styles.b]\nshare = 2", "the same settings"),
        ("hours = 1\n[splits]\ntrain = -1", "splits.train"),
        ("hours = 1\n[splits]\n'../x' = 1", "write letters"),
        ("hours = 1\n[splits]\ntrain = 0.9\nvalid = 0.2", r"plan.splits sum to 1.1: .* must sum to 1"),
        ("hours = 1\n[splits]\ntrain = 0.9\nvalid = 0.099998", "plan.splits sum to 0.999998"),
        ("hours = 1\n[licence]\nallow = true", "unknown setting plan.licence.allow"),
        ("hours = 1\noversampling = 0.5", "1 to 10"),
        ("hours =", "not TOML"),
    ],
)
def test_a_wrong_plan_is_told_in_one_line(toml: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_plan(toml.encode())
    assert "\n" not in str(caught.value).replace(" (at line", "")


def test_shares_may_be_rounded() -> None:
    plan = load_plan(b"hours = 1\n[splits]\ntrain = 0.3333333\nvalid = 0.6666667")
    assert plan.split_shares == {"train": 0.3333333, "valid": 0.6666667}


def test_hours_splits_and_licence_do_not_change_what_is_sampled() -> None:
    one, other = (
        load_plan(WHOLE),
        load_plan(
            WHOLE.replace(b"hours = 10", b"hours = 20").replace(b"train = 0.9\nvalid = 0.1", b"only = 1.0")
        ),
    )
    assert one.sampled_by() == other.sampled_by()
    assert one.sampled_by() != DatasetPlan(hours=10).sampled_by()
