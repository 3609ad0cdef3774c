"""What each difference between scoring protocols costs, on the transcripts that a finished run has kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.engine.dialogue import spoken_text
from pipeline.errors import ConfigError, printable
from pipeline.metrics.ledger import LedgerLine, ledger
from pipeline.metrics.protocol_run import COLUMNS, missing_reason, of_language
from pipeline.metrics.protocols import PROTOCOLS, Protocol
from pipeline.metrics.published import HeardBy
from pipeline.records import Row
from pipeline.results import iter_results
from pipeline.run import complete_run, read_run
from pipeline.views import say


def finished(uri: str) -> tuple[list[Row], HeardBy]:
    """The rows of a whole run, and by what they were heard. Raises RunConflictError for another."""
    record = read_run(uri)
    complete_run(uri, "scoring")
    rows = [row for table in iter_results(uri, COLUMNS) for row in table.to_pylist()]
    return rows, HeardBy.of(record["identity"])


def ledger_of(rows: Sequence[Row], protocol: Protocol, heard_by: HeardBy) -> list[dict[str, Any]]:
    """The ledger as JSON-able lines; a row without a transcript counts as nothing heard."""
    pairs = [
        (spoken_text(row["target_text"] or ""), "" if missing_reason(row) else row["hypothesis"])
        for row in rows
        if of_language(row, protocol)
    ]
    if not pairs:
        raise ConfigError(
            f"{protocol.name}: the run has no row in {protocol.language}; name another protocol"
        )
    others = [other for other in PROTOCOLS.values() if other.language == protocol.language]
    asr = heard_by.asr(protocol.language)
    return [_as_dict(line, asr != PROTOCOLS[line.protocol].asr) for line in ledger(pairs, protocol, others)]


def _as_dict(line: LedgerLine, other_asr: bool) -> dict[str, Any]:
    return asdict(line) | {"text_rules_only": line.text_rules_only or other_asr}


def print_ledger(console: Console, lines: Sequence[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("protocol", "WER %", "points", "rows changed", "for"):
        right = name in ("WER %", "points", "rows changed")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "for")
    for line in lines:
        mark = " *" if line["text_rules_only"] else ""
        table.add_row(f"{line['protocol']}{mark}", percent(line["rate"]))
        for cost in line["costs"]:
            points = "-" if cost["points"] is None else f"{cost['points']:+z.2f}"
            change = f"{cost['what']}: {cost['before']} to {cost['after']}"
            table.add_row("", "", points, str(cost["changed_rows"]), Text(printable(change)))
    console.print(table)
    if any(line["text_rules_only"] for line in lines):
        say(console, "* heard by another ASR than the protocol's: only what its text rules do to this run")


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
