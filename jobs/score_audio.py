"""Listen to audio that exists already: WER, CER and similarity for anybody's files, or a run of ours.

python -m jobs.score_audio SOURCE OUT [section.key=value ...]
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from pipeline import beforehand
from pipeline.config import RunConfig, load_config
from pipeline.errors import ConfigError
from pipeline.views import say


def score_audio(
    source: str, out: str, config: RunConfig, console: Console, *, format: str | None = None
) -> dict[str, Any]:
    """`source` is a manifest with an `audio` column or a finished run. Returns the run's summary."""
    beforehand.refuse_conflicts(out, "score", config)
    rows = beforehand.rows_to_score(source, config, console, format=format)
    if (done := beforehand.whole_already(out, rows, console)) is not None:
        return done
    say(console, "loading what it needs")
    from pipeline import steps  # Ray: seconds to import

    with steps.session(out, source, "score", config, console) as session:
        steps.plan_rows(session, rows)
        steps.encode_voices(session)
        steps.score_shards(session)
        return steps.finish(session)


def main() -> int:
    if len(sys.argv) < 3:
        raise ConfigError("usage: python -m jobs.score_audio SOURCE OUT [section.key=value ...]")
    summary = score_audio(sys.argv[1], sys.argv[2], load_config(None, sys.argv[3:]), Console())
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    from pipeline.cli import reported

    sys.exit(reported(main))
