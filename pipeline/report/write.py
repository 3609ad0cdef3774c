"""From a run to its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline import __version__
from pipeline.destination import file_destination
from pipeline.errors import ConfigError
from pipeline.plan import planned_shards
from pipeline.records import Row
from pipeline.report import facts
from pipeline.report.compare import add_changes, compare
from pipeline.report.compute import checked_price, compute_tile, read_work
from pipeline.report.entries import entry_of
from pipeline.report.measured import MEASURES
from pipeline.report.outcomes import OUTCOMES, REASONS, gates_of
from pipeline.report.page import MARK, render
from pipeline.report.rows import makes_sound, read_rows, worst_first
from pipeline.report.sound import Mode, Sounds, gather
from pipeline.report.text import percent
from pipeline.report.voices import references_of
from pipeline.run import read_run
from pipeline.storage import ObjectMissing, Store, open_store
from pipeline.uris import parent_uri, shown
from pipeline.views import many

_MODES = ("embed", "link", "none")


@dataclass(frozen=True, slots=True)
class ReportWritten:
    uri: str
    rows: int
    bytes: int
    heard: int  # rows whose sound is in the page


def write_report(
    uri: str,
    out: str | None = None,
    *,
    compare_with: str | None = None,
    audio: str = "embed",
    max_embedded_mb: float = 20.0,
    price_per_hour: float | None = None,
) -> ReportWritten:
    """Writes the page of the run at `uri` to `out`, a path or an s3 URI; by default into the run's folder.

    `price_per_hour` is what one engine's device costs for an hour, in any currency; None shows no cost.
    A file that is no report of ours is never replaced. Raises ConfigError, RunConflictError, StorageError.
    """
    mode = _checked_mode(audio)
    if not max_embedded_mb >= 0:
        raise ConfigError(f"--max-embedded-mb {max_embedded_mb:g}: give 0 or more")
    price = checked_price(price_per_hour)
    record = read_run(uri)
    other = None if compare_with is None else read_run(compare_with)
    target = f"{uri.rstrip('/')}/report.html" if out is None else out
    store, name = file_destination(target)
    _refuse_others_file(store, name, target)
    run = open_store(uri)
    rows = worst_first(read_rows(uri))
    sounds = gather(run, rows, parent_uri(f"{store.uri}/{name}"), mode, int(max_embedded_mb * 2**20))
    entries = [entry_of(row) for row in rows]
    for entry, row in zip(entries, rows, strict=True):
        _add_sound(entry, row, sounds)
    values = _values(uri, record, run, rows, sounds, mode, price)
    if compare_with is not None and other is not None:
        others = read_rows(compare_with)
        comparison = compare(rows, others)
        add_changes(entries, rows, others)
        values |= {
            "comparison": comparison,
            "difference_tiles": facts.difference_tiles(comparison, values["tiles"]),
            "other_uri": shown(compare_with),
            "other_model": other["identity"]["model"],
        }
    data = {
        "rows": entries,
        "compared": compare_with is not None,
        "outcomes": OUTCOMES,
        "reasons": REASONS,
        "measures": MEASURES,
    }
    page = render(values, data, linked=sounds.linked)
    store.put(name, page)
    return ReportWritten(target, len(rows), len(page), sounds.embedded_results)


def _values(
    uri: str,
    record: dict[str, Any],
    run: Store,
    rows: Sequence[Row],
    sounds: Sounds,
    mode: Mode,
    price: float | None,
) -> dict[str, Any]:
    identity = record["identity"]
    tiles = facts.tiles(rows, identity)
    work = read_work(run)
    if (compute := compute_tile(work, rows, price)) is not None:
        tiles.append(compute)
    unpriced = price is not None and work is None
    whole = run.exists("_SUCCESS")
    planned = sum(shard.rows for shard in planned_shards(run))
    with_audio = sum(makes_sound(row) and row["duration_s"] is not None for row in rows)
    started = datetime.fromtimestamp(record["created_unix_s"], UTC) if record.get("created_unix_s") else None
    return {
        "title": uri.rstrip("/").rpartition("/")[2] or uri,
        "uri": shown(uri),
        "identity": identity,
        "manifest": record.get("manifest") or "",
        "fingerprint": record["fingerprint"],
        "started": f"{started:%Y-%m-%d %H:%M} UTC" if started else "",
        "version": __version__,
        "tiles": tiles,
        "notes": [
            *facts.notes(rows, identity, whole, planned, tiles),
            *(["No cost: no engine time was counted in this run."] if unpriced else []),
            facts.sound_note(sounds, mode, with_audio),
        ],
        "gates": gates_of(rows),
        "categories": any(row["category"] for row in rows),
        "outcomes": OUTCOMES,
        "percent": percent,
        "many": many,
        "clips": sounds.clips,
        "comparison": None,
    }


def _add_sound(entry: dict[str, Any], row: Row, sounds: Sounds) -> None:
    if (source := sounds.results.get(row["row"])) is not None:
        entry["audio"] = source
    for voice, uri in zip(entry.get("voices", [entry]), references_of(row), strict=True):
        if uri is not None and (source := sounds.references.get(uri)) is not None:
            voice["ref"] = source


def _checked_mode(audio: str) -> Mode:
    for mode in _MODES:
        if audio == mode:
            return mode  # type: ignore[return-value]
    raise ConfigError(f"--audio {audio!r} is not known; use one of {', '.join(_MODES)}")


def _refuse_others_file(store: Store, name: str, target: str) -> None:
    try:
        with store.open(name) as file:
            ours = file.read(len(MARK)) == MARK.encode()
    except ObjectMissing:
        return
    if not ours:
        raise ConfigError(f"{shown(target)} is a file that is no report; name another with --out")
