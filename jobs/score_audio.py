"""Score existing audio: WER, CER and similarity of anybody's files, or of a finished run.

    python -m jobs.score_audio SOURCE OUT [--config JOB.toml] [--protocol f5/en] [section.key=value ...]

With --protocol the transcripts are also scored under it, as in jobs.seed_tts_eval; for a `meta.lst` whose
last column is a recording, that is what the transcriber makes of real speech.
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from pipeline import beforehand
from pipeline.command_options import add_run_options, job_parser, settings_of
from pipeline.config import RunConfig
from pipeline.metrics.protocols import protocol_named
from pipeline.report.protocol_account import account_for
from pipeline.reported import reported
from pipeline.views import say


def score_audio(
    source: str,
    out: str,
    config: RunConfig,
    console: Console,
    *,
    format: str | None = None,
    take_over: bool = False,
) -> dict[str, Any]:
    """`source` is a manifest with an `audio` column or a finished run. Returns the run's summary."""
    beforehand.refuse_conflicts(out, "score", config)
    rows = beforehand.rows_to_score(source, config, console, format=format)
    planned = beforehand.all_planned(out, rows)
    if planned and (done := beforehand.whole_already(out, console)) is not None:
        return done
    say(console, "loading Ray and its libraries")
    from pipeline import steps  # Ray: seconds to import

    with steps.session(out, source, "score", config, console, take_over=take_over) as session:
        if not planned:
            steps.plan_rows(session, rows)
        steps.encode_voices(session)
        steps.score_shards(session)
        return steps.finish(session)


def main() -> int:
    parser = job_parser("score_audio", __doc__)
    parser.add_argument("source", help="a manifest with an `audio` column, or a finished run")
    add_run_options(parser)
    parser.add_argument("--protocol", help="also score under this protocol, such as seed-tts-eval/en")
    given = parser.parse_intermixed_args()
    config, console = settings_of(given.config, given.settings), Console()
    protocol = None if given.protocol is None else protocol_named(given.protocol, config.check.language)
    summary = score_audio(given.source, given.out, config, console)
    if protocol is not None:
        account_for(given.out, protocol, console)
    return 1 if summary["failed"] or summary["rejected"] else 0


if __name__ == "__main__":
    sys.exit(reported(main))
