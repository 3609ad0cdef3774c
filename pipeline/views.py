"""What the command line prints. Manifest text is untrusted: it is printed as text, never as markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commit import ShardLog
from pipeline.config import RunConfig
from pipeline.engine.embedded import note_of
from pipeline.errors import ConfigError, printable
from pipeline.lease import driver_of
from pipeline.metrics.normalizers import RATE_OF, unit_of
from pipeline.plan import planned_shards
from pipeline.preflight import PreflightReport
from pipeline.progress import duration
from pipeline.records import Row
from pipeline.results import LIGHT_COLUMNS, iter_results, read_results, write_table
from pipeline.run import read_run
from pipeline.storage import open_store
from pipeline.uris import shown

_TABLE_ROWS = 200
_SHORT_COLUMNS = [
    *("utterance_id", "status", "wer", "cer", "similarity", "similarity_ground_truth", "duration_s", "row"),
    *("speaker", "prompt_audio", "target_text", "hypothesis"),
    *("unscored_reason", "error_code", "error_message", "gate_reasons"),
]


def say(console: Console, text: str) -> None:
    """One line of plain text, however wide the console is."""
    console.print(Text(printable(text)), soft_wrap=True)


def many(count: int, one: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def print_reading(console: Console, manifest_uri: str) -> None:
    say(console, f"reading {shown(manifest_uri)} and the references it names")


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
    speech_s, speed = report.speech_s, config.resources.assumed_speed
    say(
        console,
        f"{many(report.rows, 'row')}, {bad}; {many(len(report.voices), 'voice')}; "
        f"about {duration(speech_s)} of speech to generate: {duration(speech_s / speed)} for an engine "
        f"that makes {speed:g} s of audio a second "
        "(resources.assumed_speed: a guess for a GPU, a CPU is far slower)",
    )
    for code, count in report.faults.most_common():
        say(console, f"  {code}: {count}")
    for warning in report.warnings:
        console.print(Text(printable(f"warning: {warning}"), "yellow"), soft_wrap=True)


def print_summary(console: Console, summary: dict[str, Any], uri: str) -> None:
    """Where everything is, and the run in a few numbers with what they were made by."""
    record = read_run(uri)
    identity = record["identity"]
    codes: Counter[str] = Counter()
    for stage in summary["failures"].values():
        codes.update(stage)
    heard_by, compared_by = identity["transcriber"], identity["speaker_encoder"]
    lines = [
        ("rows", f"{_rows(summary)}{_by_code(codes)}"),
        ("gates", _takes(summary.get("gates"))),
        ("speech", duration(summary["audio_seconds"])),
        *_error_rates(summary, heard_by),
        ("similarity", _similarity(summary, "similarity", compared_by)),
        *_to_ground_truth(summary, compared_by),
        ("model", identity["model"]),
        ("metrics", f"{uri}/data/*/*.parquet, or: voicemill results {uri}"),
        ("audio", f"in the same Parquet files, as files by: voicemill export {uri} --to FOLDER"),
        ("summary", f"{uri}/summary.json"),
    ]
    if record["settings"]["output"]["audio_files"]:
        at = [name for name, _ in lines].index("audio")
        lines[at] = ("audio", f"{uri}/audio/<id>.flac, and in the same Parquet files")
    _print_facts(console, lines)
    if (note := note_of(identity["model"])) is not None:
        console.print(f"note: {note}", style="yellow", highlight=False, soft_wrap=True)


def _rows(summary: dict[str, Any]) -> str:
    rejected = f", {summary['rejected']} rejected" if summary["rejected"] else ""
    return f"{summary['ok']} ok{rejected}, {summary['failed']} failed"


def _takes(gates: dict[str, Any] | None) -> str:
    """`36 passed at once, 4 repaired by another take, 1 with a warning (wer 1)`."""
    if gates is None:
        return "no row was spoken"
    told = [f"{gates['passed_first']} passed at once"]
    told += [f"{gates['repaired']} repaired by another take"] * bool(gates["repaired"])
    told += [f"{gates['warned']} with a warning"] * bool(gates["warned"])
    told += [f"{gates['rejected']} rejected"] * bool(gates["rejected"])
    return ", ".join(told) + _by_code(gates["reasons_never_passed"])


def _error_rates(summary: dict[str, Any], heard_by: str) -> list[tuple[str, str]]:
    """WER of the rows in languages that part their words, CER of the others; WER if there are neither."""
    units = [("WER", "wer", "words"), ("CER", "cer", "characters")]
    told = [unit for unit in units if summary[unit[1]]["rows"]] or units[:1]
    lines = []
    for name, key, of in told:
        rates = summary[key]
        interval = _interval(rates["intervals"]["macro"], rates.get("voices"))
        mean = f"{_number(rates['macro'], 3)}{interval} mean of rows"
        over = f"{_number(rates['micro'], 3)} over all {of}"
        lines.append(
            (name, f"{mean}, {over} ({rates['rows']} rows{_missing(summary, key)}; heard by {heard_by})")
        )
    return lines


def _similarity(summary: dict[str, Any], name: str, compared_by: str) -> str:
    found = summary[name]
    mean = f"{_number(found['mean'], 3)}{_interval(found['interval'], found['voices'])} mean"
    return f"{mean} ({found['rows']} rows{_missing(summary, name)}; {compared_by})"


def _to_ground_truth(summary: dict[str, Any], compared_by: str) -> list[tuple[str, str]]:
    """A line for a run whose manifest names ground truths."""
    name = "similarity_ground_truth"
    if not summary.get(name, {}).get("rows") and not summary["unscored_reasons"].get(name):
        return []
    return [("to ground truth", _similarity(summary, name, compared_by))]


def _interval(ends: Sequence[float] | None, voices: int) -> str:
    """` [0.144 to 0.332, 8 voices]`: it is as wide as so few voices ask for."""
    return "" if ends is None else f" [{ends[0]:z.3f} to {ends[1]:z.3f}, {voices} voices]"


def _missing(summary: dict[str, Any], metric: str) -> str:
    reasons = summary["unscored_reasons"].get(metric) or {}
    return "".join(f", {count} without: {reason}" for reason, count in reasons.items())


def _print_facts(console: Console, lines: list[tuple[str, str]]) -> None:
    """A name and a value a line, never padded or cut: what is long is wrapped by the terminal, if at all."""
    widest = max(len(name) for name, _ in lines)
    for name, value in lines:
        console.print(Text.assemble((f"{name:<{widest}}", "dim"), f"  {printable(value)}"), soft_wrap=True)


def print_status(console: Console, uri: str) -> None:
    record = read_run(uri)
    store = open_store(uri)
    shards = planned_shards(store)
    commits = list(ShardLog(store).commits())
    packed = ShardLog(store, prefix="samples").committed_shards()
    identity, complete, driver = record["identity"], store.exists("_SUCCESS"), driver_of(store)
    failed = sum(commit.extra["failed"] for commit in commits)
    rejected = sum(commit.extra.get("rejected", 0) for commit in commits)
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
        ("failed", f"{failed}{_by_code(_failure_codes(uri) if failed else {})}"),
        ("rejected", str(rejected)),
        ("driver", f"{driver} (or it died and has not been replaced)" if driver else "none"),
        ("complete", "yes" if complete else "no" if driver else "no: run the same command again"),
    ]
    _print_facts(console, lines)


def _failure_codes(uri: str) -> dict[str, int]:
    codes: Counter[str] = Counter()
    for table in iter_results(uri, ["status", "error_code"]):
        codes.update(row["error_code"] for row in table.to_pylist() if row["status"] == "failed")
    return dict(codes.most_common())


def _by_code(codes: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{code} {count}' for code, count in codes.items())})" if codes else ""


def print_results(
    console: Console, uri: str, format: str, output: str | None, *, all_columns: bool, only_failed: bool
) -> None:
    if all_columns and format != "parquet":
        raise ConfigError(f"--all-columns carries bytes, which {format} cannot hold; use --format parquet")
    read_run(uri)
    table = read_results(uri, None if all_columns else LIGHT_COLUMNS)
    if only_failed:
        table = table.filter(pc.not_equal(table.column("status"), "ok"))
    if format == "table":
        table = table.select(_SHORT_COLUMNS)
    if format == "table" and output is None and console.is_terminal:
        rows = table.slice(0, _TABLE_ROWS).to_pylist()
        console.print(results_table(rows))
        if table.num_rows > _TABLE_ROWS:
            console.print(
                f"... {table.num_rows - _TABLE_ROWS} more rows; --format csv gives all", highlight=False
            )
        return
    write_table(table, output, format)


def results_table(rows: list[Row]) -> Table:
    """One line per manifest row: what was asked, what was heard, or why there is nothing to hear.

    The rate is that of the row's language, in a column `wer` or `cer`; both where there are rows of both.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("id", no_wrap=True)
    table.add_column("status", no_wrap=True)
    has_truth = any(row["similarity_ground_truth"] is not None for row in rows)
    units = [unit_of(row) for row in rows]
    rates = [name for unit, name in RATE_OF.items() if unit in units] or ["wer"]
    for name in (*rates, "sim", *["sim gt"] * has_truth, "s", "row"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("voice", no_wrap=True)
    table.add_column("text, and what was heard", ratio=1)
    for row, unit in zip(rows, units, strict=True):
        if row["status"] == "failed":
            said = Text(printable(f"{row['error_code']}: {row['error_message']}"), "red")
        else:
            heard = row["unscored_reason"] if row["hypothesis"] is None else row["hypothesis"]
            said = Text.assemble(
                printable(row["target_text"] or ""), "\n", (printable(heard or "(nothing heard)"), "dim")
            )
        if row["status"] == "rejected":
            said.append(printable("\n" + "; ".join(row["gate_reasons"] or [])), "red")
        table.add_row(
            Text(printable(row["utterance_id"])),
            row["status"],
            *(_number(row[name] if name == RATE_OF[unit] else None, 2) for name in rates),
            _number(row["similarity"], 2),
            *[_number(row["similarity_ground_truth"], 2)] * has_truth,
            _number(row["duration_s"], 1),
            str(row["row"]),
            Text(printable(voice_name(row))),
            said,
        )
    return table


def voice_name(row: Row) -> str:
    """The speaker if the manifest names one, else the reference's file name."""
    return row["speaker"] or file_stem(row["prompt_audio"])


def file_stem(uri: str | None) -> str:
    return (uri or "").rpartition("/")[2].rpartition(".")[0]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
