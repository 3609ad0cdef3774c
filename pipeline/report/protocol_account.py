"""A finished run's account under a scoring protocol: made, kept in the run's folder, and shown."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import ConfigError
from pipeline.metrics.paired import compare
from pipeline.metrics.protocol_run import compare_similarity, evaluate, score_rows
from pipeline.metrics.protocols import Protocol
from pipeline.metrics.published import HeardBy, beside
from pipeline.records import Row
from pipeline.report.protocol_ledger import finished, ledger_of, percent, print_ledger
from pipeline.storage import open_store
from pipeline.views import say


def account_for(
    uri: str, protocol: Protocol, console: Console, *, other: str | None = None, with_ledger: bool = False
) -> dict[str, Any]:
    """`score_run`, shown and written to `protocols/` in the run's folder."""
    account = score_run(uri, protocol, other=other, with_ledger=with_ledger)
    name = f"protocols/{protocol.name.replace('/', '-')}.json"
    open_store(uri).put(name, json.dumps(account, indent=2, ensure_ascii=False).encode())
    print_account(console, account)
    say(console, f"all of it: {uri}/{name}")
    return account


def score_run(
    uri: str, protocol: Protocol, *, other: str | None = None, with_ledger: bool = False
) -> dict[str, Any]:
    """A finished run under a protocol: its numbers, the published rows, the comparison, the ledger."""
    rows, heard_by = finished(uri)
    account = evaluate(rows, protocol, heard_by)
    account["published"] = [asdict(row) for row in beside(protocol, heard_by)]
    if other is not None:
        account["comparison"] = _comparison(rows, heard_by, other, protocol)
    if with_ledger:
        account["ledger"] = ledger_of(rows, protocol, heard_by)
    return account


def _comparison(rows: list[Row], heard_by: HeardBy, other: str, protocol: Protocol) -> dict[str, Any]:
    """This run (B) against the other (A), row by row; a missing row is an error of 100 % in both."""
    theirs, heard_there = finished(other)
    if heard_there.transcriber != heard_by.transcriber:
        raise ConfigError(
            f"{other} was heard by {heard_there.transcriber}, this run by {heard_by.transcriber}: score both "
            "with one transcriber (jobs.score_audio) before comparing them"
        )
    texts = {row["utterance_id"]: row["target_text"] for row in theirs}
    for row in rows:
        if texts.get(row["utterance_id"], row["target_text"]) != row["target_text"]:
            raise ConfigError(
                f"{other}: the text of {row['utterance_id']!r} is another there; compare one set"
            )
    found = compare(score_rows(theirs, protocol), score_rows(rows, protocol), aggregate=protocol.aggregate)
    same_voices = heard_there.speaker_encoder == heard_by.speaker_encoder != "none"
    return {
        "with": other,
        **asdict(found),
        "verdict": found.verdict(),
        "similarity_difference": asdict(compare_similarity(theirs, rows)) if same_voices else None,
    }


def print_account(console: Console, account: dict[str, Any]) -> None:
    """The table, then everything one must know to read it."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    rate = "WER" if account["unit"] == "word" else "CER"
    table.add_column(Text(account["protocol"]), no_wrap=True)
    for name in (f"{rate} %", "95 %", "SIM %", "95 %", "rows"):
        table.add_column(name, justify="right", no_wrap=True)
    wer, similarity = account["wer"], account["similarity"] or {}
    for label, suffix in (("missing rows as failures", ""), ("missing rows skipped", "_skipping")):
        table.add_row(
            label,
            percent(wer[f"value{suffix}"]),
            _ends(wer[f"interval{suffix}"]),
            percent(similarity.get(f"value{suffix}")),
            _ends(similarity.get(f"interval{suffix}")),
            str(wer[f"rows{suffix}"]),
        )
    for row in account["published"]:
        if row["wer"] is not None or row["similarity"] is not None:
            table.add_row(f"{row['system']}, published", percent(row["wer"]), "", percent(row["similarity"]))
    console.print(table)
    if wer["interval"] is not None:
        drawn = f"{wer['voices']} voices drawn whole"
        skipping = f", {wer['voices_skipping']} of them where missing rows are skipped"
        say(console, f"95 %: {drawn}{skipping if wer['voices_skipping'] < wer['voices'] else ''}")
    missing = ", ".join(f"{reason} {count}" for reason, count in account["missing_reasons"].items())
    say(
        console, f"{account['missing']} of {account['rows']} rows missing{f' ({missing})' if missing else ''}"
    )
    if account["empty_references"]:
        say(
            console,
            f"{account['empty_references']} rows have nothing to say by these rules: not in the {rate}",
        )
    for row in account["published"]:
        for reason in row["withheld"]:
            say(console, f"{row['system']}: the published figure is not put beside ours; {reason}")
        if len(row["withheld"]) < 2:
            say(console, f"{row['system']}: {row['note']}")
    for line in account["departures"]:
        say(console, f"not as in the protocol: {line}")
    if comparison := account.get("comparison"):
        difference = comparison["difference_points"]
        points = difference["estimate"]
        said = "" if points is None else f"{points:+z.2f} points {_ends_of_points(difference)}; "
        say(console, f"this run (B) against {comparison['with']} (A): {said}{comparison['verdict']}")
        if (alike := comparison["similarity_difference"]) and alike["estimate"] is not None:
            ends = {name: alike[name] and 100 * alike[name] for name in ("low", "high")}
            mean = f"{100 * alike['estimate']:+z.2f} points"
            say(console, f"SIM, B less A: {mean} {_ends_of_points(ends)}".rstrip())
    if account.get("ledger"):
        print_ledger(console, account["ledger"])


def _ends(interval: list[float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def _ends_of_points(interval: dict[str, Any]) -> str:
    return "" if interval["low"] is None else f"({interval['low']:+z.2f} to {interval['high']:+z.2f})"
