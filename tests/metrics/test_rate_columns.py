"""Against numpy's own statistics, resample by resample (`row_by_row.py`)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_by_row import estimates, intervals

from pipeline.metrics import rate_columns
from pipeline.metrics.rate_columns import AGGREGATES, RateColumns, describe, mean_of, means_by

ROWS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=12)


def columns_of(rows, accepted=True):
    columns = RateColumns()
    for errors, units, voice in rows:
        columns.add(errors, units, voice, 0, accepted=accepted)
    return columns


@given(ROWS, st.booleans())
def test_the_same_as_row_by_row(rows, sparse):
    with pytest.MonkeyPatch.context() as patch:
        if sparse:
            patch.setattr(rate_columns, "_MATRIX_CELLS", 0)
        found = describe(columns_of(rows).all(), resamples=60)
    errors, units = np.array([row[:2] for row in rows]).T
    assert {name: found[name] for name in AGGREGATES} == pytest.approx(
        estimates(errors / units, errors, units)
    )
    theirs = intervals(rows, resamples=60)
    for name in AGGREGATES:
        ends = found["intervals"][name]
        assert ends == (None if theirs is None else pytest.approx(list(theirs[name])))


def test_of_very_many_distinct_rates_the_ends_are_right_to_a_thousandth_of_the_rank():
    random = np.random.default_rng(1)
    units = random.integers(40, 4000, 4000)
    rows = list(
        zip(
            random.binomial(units, 0.2).tolist(), units.tolist(), (np.arange(4000) % 50).tolist(), strict=True
        )
    )
    assert len({errors / units for errors, units, _ in rows}) > 2 * 1024
    found = describe(columns_of(rows).all(), resamples=200)
    theirs = intervals(rows, resamples=200)
    rates = np.sort([errors / units for errors, units, _ in rows])
    assert found["median"] == np.median(rates)
    for name in ("median", "p95"):
        mine = np.searchsorted(rates, found["intervals"][name]) / len(rates)
        exact = np.searchsorted(rates, theirs[name]) / len(rates)
        assert mine == pytest.approx(exact, abs=0.0015)


def test_nothing_and_empty_references():
    assert describe(RateColumns().all()) == dict.fromkeys(AGGREGATES) | {
        "voices": 0,
        "intervals": dict.fromkeys(AGGREGATES),
    }
    found = describe(columns_of([(0, 0, 0), (0, 0, 1)]).all(), resamples=5)
    assert (found["macro"], found["micro"], found["intervals"]["micro"]) == (0.0, None, None)


def test_only_accepted_rows_are_the_system_s():
    columns = columns_of([(1, 4, 0)])
    columns.add(4, 4, 1, 0, accepted=False)
    assert (len(columns.accepted()), len(columns.all())) == (1, 2)
    assert describe(columns.all(), resamples=5)["macro"] == pytest.approx(0.625)
    columns.add_unscored(2)
    assert (len(columns.accepted()), len(columns.all()), len(columns.unscored())) == (1, 2, 1)
    assert columns.unscored().voices.tolist() == [2]


def test_groups_by_hand():
    table = columns_of([(1, 4, 0), (1, 2, 0), (3, 3, 7)]).all()
    assert means_by(table, table.voices) == {
        0: (2, pytest.approx(0.375), pytest.approx(2 / 6)),
        7: (1, 1.0, 1.0),
    }


def test_a_mean_of_one_voice_has_no_interval():
    voices = np.zeros(3, dtype=np.int64)
    assert mean_of(np.array([0.1, 0.2, 0.6]), voices) == {
        "rows": 3,
        "voices": 1,
        "mean": pytest.approx(0.3),
        "interval": None,
    }
    assert mean_of(np.array([]), np.array([], dtype=np.int64))["mean"] is None


def test_an_interval_stays_where_the_quantity_can_be():
    # two voices: the ends are nine times as far as those of the percentiles
    apart = describe(columns_of([(0, 4, 0), (3, 4, 1)]).all(), resamples=400)
    assert apart["intervals"]["macro"] == [0.0, pytest.approx(0.375 + 9.17 * 0.375, rel=1e-3)]
    assert apart["intervals"]["macro_clipped"] == apart["intervals"]["share_over_50_percent"] == [0.0, 1.0]
    alike = mean_of(np.array([0.1, 0.9]), np.array([0, 1]))
    assert (alike["voices"], alike["interval"]) == (2, [-1.0, 1.0])


def test_fewer_resamples_for_more_pairs_but_never_below_the_reference_s():
    assert rate_columns._affordable(3_000, 10_000) == 10_000
    assert rate_columns._affordable(10**8, 10_000) == 2_000  # [ref] section 5
    assert rate_columns._affordable(10**8, 50) == 50
