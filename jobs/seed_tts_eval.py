"""Seed-TTS Eval: speak a `meta.lst`, listen, and score the transcripts under a named protocol.

    python -m jobs.seed_tts_eval META_LST OUT [--config JOB.toml] [--protocol seed-tts-eval]
        [--language en|zh] [--limit N] [--compare RUN] [--ledger] [section.key=value ...]

Run it again on the same OUT to resume, or to score a finished run under another protocol. The account is
OUT/protocols/<protocol>.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Console

from pipeline import beforehand
from pipeline.command_options import add_run_options, job_parser, settings_of
from pipeline.config import RunConfig
from pipeline.errors import ConfigError
from pipeline.metrics.protocols import Protocol, protocol_named
from pipeline.records import Row
from pipeline.report.protocol_account import account_for
from pipeline.reported import reported
from pipeline.views import say


@dataclass(frozen=True)
class FirstRows:
    """The first rows of a checked manifest, the bad ones among them counted; all where `limit` is None."""

    source: beforehand.RowSource
    limit: int | None

    def rows(self) -> Iterator[Row]:
        yield from islice(self.source.rows(), self.limit)


def seed_tts_eval(
    meta_lst: str,
    out: str,
    config: RunConfig,
    protocol: Protocol,
    console: Console,
    *,
    limit: int | None = None,
    other: str | None = None,
    with_ledger: bool = False,
) -> dict[str, Any]:
    """Returns the account that is also written to OUT. `other` is a finished run of the same ids."""
    refuse_deaf(config, protocol)
    beforehand.refuse_conflicts(out, "speak", config)
    rows = FirstRows(beforehand.check_manifest(meta_lst, config, console, format="lst"), limit)
    planned = beforehand.all_planned(out, rows)
    if not planned or beforehand.whole_already(out, console) is None:
        say(console, "loading Ray and its libraries")
        from pipeline import steps  # Ray: seconds to import

        with steps.session(out, meta_lst, "speak", config, console) as session:
            if not planned:
                steps.plan_rows(session, rows)
            steps.encode_voices(session)
            steps.speak_shards(session)
            steps.finish(session)
    return account_for(out, protocol, console, other=other, with_ledger=with_ledger)


def refuse_deaf(config: RunConfig, protocol: Protocol) -> None:
    """Raises ConfigError, before anything is spent, for a transcriber that cannot hear these rows."""
    transcriber = config.evaluation.transcriber
    if transcriber == "none":
        raise ConfigError("evaluation.transcriber is none: without transcripts there is nothing to score")
    if transcriber == "demo:pocketsphinx" and protocol.language != "en":
        raise ConfigError(
            f"evaluation.transcriber is demo:pocketsphinx, which hears English only, and {protocol.name} is "
            f"for {protocol.language}: name a Whisper checkpoint"
        )


def main() -> int:
    parser = job_parser("seed_tts_eval", __doc__)
    parser.add_argument("meta_lst", help="lines of utt|prompt_text|prompt_wav|infer_text")
    add_run_options(parser)
    parser.add_argument(
        "--protocol", default="seed-tts-eval", help="a family of protocols, or one with its language: f5/en"
    )
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="unless --protocol names it")
    parser.add_argument("--limit", type=int, help="speak only this many rows")
    parser.add_argument("--compare", metavar="RUN", help="also compare with a finished run of the same ids")
    parser.add_argument(
        "--ledger", action="store_true", help="also show what each difference between protocols costs"
    )
    given = parser.parse_intermixed_args()
    if given.limit is not None and given.limit < 1:
        raise ConfigError(f"--limit {given.limit}: name at least one row")
    protocol = protocol_named(given.protocol, given.language)
    account = seed_tts_eval(
        given.meta_lst,
        given.out,
        settings_of(given.config, [*given.settings, f"check.language={protocol.language}"]),
        protocol,
        Console(),
        limit=given.limit,
        other=given.compare,
        with_ledger=given.ledger,
    )
    return 1 if account["missing"] else 0


if __name__ == "__main__":
    sys.exit(reported(main))
