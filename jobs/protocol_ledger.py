"""What each difference between scoring protocols costs, on the transcripts that a finished run has kept.

    python -m jobs.protocol_ledger RUN [--protocol seed-tts-eval] [--language en] [--json FILE]

The first line is the named protocol, the others all of its language. Protocols of another ASR than the
run's are marked: their line is what their text rules would do, not their number.
"""

from __future__ import annotations

import json
import sys

from rich.console import Console

from pipeline.command_options import job_parser
from pipeline.destination import file_destination
from pipeline.metrics.protocols import protocol_named
from pipeline.report.protocol_ledger import finished, ledger_of, print_ledger
from pipeline.reported import reported
from pipeline.views import say


def main() -> int:
    parser = job_parser("protocol_ledger", __doc__)
    parser.add_argument("run", help="a finished run")
    parser.add_argument(
        "--protocol", default="seed-tts-eval", help="protocol of the first line, such as f5 or cv3/fr"
    )
    parser.add_argument("--language", default="en", help="language of the protocols")
    parser.add_argument("--json", help="also write the lines to this file")
    given = parser.parse_args()
    protocol = protocol_named(given.protocol, given.language)
    rows, heard_by = finished(given.run)
    lines = ledger_of(rows, protocol, heard_by)
    console = Console()
    say(console, f"{given.run}: heard by {heard_by.transcriber}")
    print_ledger(console, lines)
    if given.json:
        store, name = file_destination(given.json)
        store.put(name, json.dumps(lines, indent=2).encode())
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
