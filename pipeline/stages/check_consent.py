"""Rows whose consent was withdrawn since they were planned fail before they are spoken. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.consent import ConsentRules
from pipeline.records import Row, to_table
from pipeline.stages.each_row import each_row

STAGE = "check_consent"


def check_consents(rows: Sequence[Row], consent: ConsentRules) -> list[Row]:
    return each_row(rows, STAGE, consent.check)


def check_table(table: pa.Table, consent: ConsentRules) -> pa.Table:
    """A packed shard; samples that were packed before a consent was withdrawn are looked at again."""
    if consent == ConsentRules():
        return table
    return to_table(check_consents(table.to_pylist(), consent), table.schema)
