"""Pages in a real browser, and what is asked of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import Browser, find_browser
from small_runs import write_run

from pipeline.records import Row
from pipeline.report.write import write_report

needs_browser = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium on this machine: `make browser` installs Debian's"
)
DEEP = "masculine, deep, as if he had all the time in the world"
IDS = "[...document.querySelectorAll('.row')].map(row => row.dataset.id)"


def report(folder: Path, rows: list[Row], **options: Any) -> Path:
    uri = write_run(str(folder / "run"), rows, shard_rows=500)
    return Path(write_report(uri, **options).uri)


def choose(chromium: Browser, control: str, value: str) -> None:
    chromium.js(
        f"(() => {{ const c = document.getElementById('{control}'); c.value = '{value}';"
        " c.dispatchEvent(new Event(c.id === 'search' ? 'input' : 'change')); })()"
    )


def complaints(chromium: Browser) -> list[dict[str, Any]]:
    """Exceptions, refusals of the policy, errors in the console."""
    chromium.js("1")
    return [
        event
        for event in chromium.events
        if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    ]


def row_of(identity: str) -> str:
    return f"document.querySelector('.row[data-id={identity}]')"
