"""`make demo`: the main job on `manifests/demo.csv`, which has one row that is broken on purpose.

    python -m jobs.demo [section.key=value ...]

Exits 0 if every row did as expected: the broken one failed, all others were spoken.
"""

from __future__ import annotations

import sys

from rich.console import Console

from jobs.clone_voices import clone_voices
from pipeline.command_options import job_parser
from pipeline.config import load_config
from pipeline.reported import reported
from pipeline.results import LIGHT_COLUMNS, read_results
from pipeline.views import print_summary, results_table

MANIFEST = "manifests/demo.csv"
OUT = "runs/demo"
BROKEN = "broken-on-purpose"


def main() -> int:
    parser = job_parser("demo", __doc__)
    parser.add_argument(
        "settings", nargs="*", metavar="section.key=value", help="settings over the demo's own"
    )
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    config = load_config(None, ["output.audio_files=true", "output.shard_rows=4", *given.settings])
    summary = clone_voices(MANIFEST, OUT, config, console)
    rows = read_results(OUT, LIGHT_COLUMNS).to_pylist()
    console.print(results_table(rows))
    print_summary(console, summary, OUT)
    failed = [row["utterance_id"] for row in rows if row["status"] == "failed"]
    if failed != [BROKEN]:
        console.print(f"demo: failed rows are {failed}, expected only {BROKEN!r}", style="red", markup=False)
        return 1
    console.print(
        f"The row {BROKEN!r} is a deliberate example: its reference does not exist, and the run carried on "
        "without it.",
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
