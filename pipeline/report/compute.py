"""What the run's speech took and cost, by what its summary says of the engines' work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.records import Row
from pipeline.report.facts import Tile
from pipeline.report.outcomes import takes_of
from pipeline.report.rows import is_ok
from pipeline.report.text import percent
from pipeline.storage import ObjectMissing, Store
from pipeline.views import many


@dataclass(frozen=True, slots=True)
class Work:
    """`engine_seconds` is of all `engines` together, `device` what each runs on: cpu or cuda."""

    engine_seconds: float
    device: str
    engines: int | None


def read_work(run: Store) -> Work | None:
    """None where no engine worked, where the run is not whole, and of a version that did not count."""
    try:
        summary = json.loads(run.get("summary.json"))
    except ObjectMissing:
        return None
    work = summary.get("work")
    return (
        Work(work["engine_seconds"], work["device"], work.get("engines"))
        if work and work["engine_seconds"]
        else None
    )


def checked_price(price_per_hour: float | None) -> float | None:
    """Raises ConfigError for a price that is none."""
    if price_per_hour is not None and not 0 <= price_per_hour < float("inf"):
        raise ConfigError(f"--price-per-hour {price_per_hour:g}: give 0 or more")
    return price_per_hour


def compute_tile(work: Work | None, rows: Sequence[Row], price_per_hour: float | None) -> Tile | None:
    """Hours, real-time factor and cost. `price_per_hour` is of one engine's device, in any currency."""
    if work is None:
        return None
    hours = work.engine_seconds / 3600
    device = "GPU" if work.device.startswith("cuda") else work.device.upper()
    delivered = sum(row["duration_s"] or 0.0 for row in rows if is_ok(row))
    details = []
    if work.engines is not None:
        details.append(f"{many(work.engines, 'engine')} on {work.device}")
    if delivered:
        details.append(
            f"real-time factor {work.engine_seconds / delivered:.3g}: engine time for each second delivered"
        )
    spoken = sum(take["duration_s"] or 0.0 for row in rows for take in takes_of(row))
    if spoken > delivered > 0:
        spare = percent((spoken - delivered) / spoken, 0)
        details.append(f"{spare} of all speech was in takes that are not delivered")
    if price_per_hour is not None:
        cost = hours * price_per_hour
        each = f", {cost / (delivered / 3600):,.2f} for an hour of audio" if delivered else ""
        details.append(f"cost {cost:,.2f} at {price_per_hour:,.2f} for a {device} hour{each}")
    return Tile("Engine time", f"{hours:.3g} {device} hours", details, [])
