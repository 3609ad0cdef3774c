"""What the command line prints. Manifest text is untrusted: it is printed as text, never as markup."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commit import ShardLog
from pipeline.config import RunConfig
from pipeline.engine.standin import NAME as STANDIN_NAME
from pipeline.engine.standin import NOTE as STANDIN_NOTE
from pipeline.errors import ConfigError, printable
from pipeline.plan import planned_shards
from pipeline.preflight import PreflightReport
from pipeline.progress import duration
from pipeline.records import Row
from pipeline.results import LIGHT_COLUMNS, read_results, write_table
from pipeline.run import read_run
from pipeline.storage import open_store

_TABLE_ROWS = 200


def print_bad_row(console: Console, row: Row) -> None:
    console.print(
        Text.assemble(
            (f"row {row['row']}", "bold"),
            f" ({row['utterance_id']}): ",
            (row["error_code"], "red"),
            f": {row['error_message']}",
        ),
        soft_wrap=True,
    )


def print_preflight(console: Console, report: PreflightReport, config: RunConfig) -> None:
    bad = f"{report.bad_rows} bad" if report.bad_rows else "none bad"
    speech, speed = duration(report.speech_s), config.resources.assumed_speed
    console.print(
        f"{report.rows} rows, {bad}; {len(report.voices)} voices; about {speech} of speech to come, "
        f"{duration(report.speech_s / speed)} of one engine at {speed:g} audio seconds per second "
        "(assumed: resources.assumed_speed)",
        highlight=False,
        soft_wrap=True,
    )
    for code, count in report.faults.most_common():
        console.print(Text(f"  {code}: {count}"))
    for warning in report.warnings:
        console.print(Text(printable(f"warning: {warning}"), "yellow"), soft_wrap=True)


def print_summary(console: Console, summary: dict[str, Any], uri: str) -> None:
    """Where everything is, and the run in a few numbers with what they were made by."""
    record = read_run(uri)
    identity = record["identity"]
    wer, similarity = summary["wer"], summary["similarity"]
    by_code = [f"{code} {n}" for codes in summary["failures"].values() for code, n in codes.items()]
    failures = f" ({', '.join(by_code)})" if by_code else ""
    heard_by, compared_by = identity["transcriber"], identity["speaker_encoder"]
    lines = [
        ("rows", f"{summary['ok']} ok, {summary['failed']} failed{failures}"),
        ("speech", duration(summary["audio_seconds"])),
        (
            "WER",
            f"{_number(wer['macro'], 3)} mean of rows, {_number(wer['micro'], 3)} over all words "
            f"({wer['rows']} rows; heard by {heard_by})",
        ),
        ("similarity", f"{_number(similarity['mean'], 3)} mean ({similarity['rows']} rows; {compared_by})"),
        ("model", identity["model"]),
        ("metrics", f"{uri}/data/*/*.parquet, or: voicemill results {uri}"),
        ("audio", f"in the same Parquet files, as files by: voicemill export {uri} --to FOLDER"),
        ("summary", f"{uri}/summary.json"),
    ]
    if record["settings"]["output"]["audio_files"]:
        lines[6] = ("audio", f"{uri}/audio/<id>.flac, and in the same Parquet files")
    console.print(_facts(lines))
    if identity["model"].startswith(STANDIN_NAME):
        console.print(f"note: {STANDIN_NOTE}", style="yellow", highlight=False, soft_wrap=True)


def _facts(lines: list[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(Text(name, "dim"), Text(value))
    return table


def print_status(console: Console, uri: str) -> None:
    record = read_run(uri)
    store = open_store(uri)
    shards = planned_shards(store)
    commits = list(ShardLog(store).commits())
    packed = ShardLog(store, prefix="samples").committed_shards()
    identity = record["identity"]
    packs = f"{len(packed)} packed, " if identity["task"] == "speak" else ""
    lines = [
        ("run", uri),
        ("task", identity["task"]),
        ("model", identity["model"]),
        ("codec", identity["codec"]),
        ("heard by", f"{identity['transcriber']}, {identity['speaker_encoder']}"),
        ("fingerprint", record["fingerprint"]),
        ("shards", f"{len(shards)} planned, {packs}{len(commits)} committed"),
        ("rows", f"{sum(s.rows for s in shards)} planned, {sum(c.rows for c in commits)} committed"),
        ("failed", str(sum(commit.extra["failed"] for commit in commits))),
        ("whole", "yes" if store.exists("_SUCCESS") else "no: the same command again finishes it"),
    ]
    console.print(_facts(lines))


def print_results(
    console: Console, uri: str, format: str, output: str | None, *, all_columns: bool, only_failed: bool
) -> None:
    if all_columns and format != "parquet":
        raise ConfigError(f"--all-columns carries bytes, which {format} cannot hold; use --format parquet")
    read_run(uri)
    table = read_results(uri, None if all_columns else LIGHT_COLUMNS)
    if only_failed:
        table = table.filter(pc.equal(table.column("status"), "failed"))
    if format == "table" and output is None:
        rows = table.slice(0, _TABLE_ROWS).to_pylist()
        console.print(results_table(rows))
        if table.num_rows > _TABLE_ROWS:
            console.print(
                f"... {table.num_rows - _TABLE_ROWS} more rows; --format csv gives all", highlight=False
            )
        return
    write_table(table, output, format)


def results_table(rows: list[Row]) -> Table:
    """One line per manifest row: what was asked, what was heard, or why there is nothing to hear."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify, ratio in (
        ("row", "right", None),
        ("id", "left", None),
        ("voice", "left", None),
        ("s", "right", None),
        ("wer", "right", None),
        ("sim", "right", None),
        ("text, and what was heard", "left", 1),
    ):
        table.add_column(name, justify=justify, ratio=ratio, no_wrap=name != "text, and what was heard")  # type: ignore[arg-type]
    for row in rows:
        if row["status"] == "failed":
            said = Text(printable(f"{row['error_code']}: {row['error_message']}"), "red")
        else:
            heard = row["unscored_reason"] if row["hypothesis"] is None else row["hypothesis"]
            said = Text.assemble(
                printable(row["target_text"] or ""), "\n", (printable(heard or "(nothing heard)"), "dim")
            )
        table.add_row(
            str(row["row"]),
            Text(printable(row["utterance_id"])),
            Text(printable(voice_name(row))),
            _number(row["duration_s"], 1),
            _number(row["wer"], 2),
            _number(row["similarity"], 2),
            said,
        )
    return table


def voice_name(row: Row) -> str:
    """The speaker if the manifest names one, else the reference's file name."""
    return row["speaker"] or (row["prompt_audio"] or "").rpartition("/")[2].rpartition(".")[0]


def settings_toml(config: RunConfig) -> str:
    """The settings as a job file; unset ones as comments."""
    lines: list[str] = []
    for section in dataclasses.fields(config):
        lines.append(f"[{section.name}]")
        for name, value in dataclasses.asdict(getattr(config, section.name)).items():
            lines.append(f"# {name} =" if value is None else f"{name} = {json.dumps(value)}")
        lines.append("")
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
