"""Which of two systems speaks better: a judge hears both clips of every item, in both orders.

    python -m jobs.compare_systems CANDIDATE BASELINE OUT [--judge openai|demo:longer] [--one-order]
        [--limit N] [--at-once N]

CANDIDATE is a finished run, BASELINE another of the same ids, or a folder of <id>.wav, .flac, .mp3 or .ogg.
`openai` asks an OpenAI-compatible endpoint that takes audio, set in the environment: VOICEMILL_JUDGE_URL,
VOICEMILL_JUDGE_MODEL, and VOICEMILL_JUDGE_KEY if it needs one. Verdicts are kept in OUT/verdicts: the same
command resumes, and asks again only for answers that could not be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.command_options import job_parser
from pipeline.errors import ConfigError
from pipeline.evaluators.openai_judge import OpenAIJudge
from pipeline.metrics.pairwise import (
    Judge,
    Judged,
    Pair,
    RankingJudge,
    audit_positions,
    judge_pair,
    win_rate,
)
from pipeline.report.system_clips import Clips, FolderClips, RunClips, as_wav, open_clips
from pipeline.reported import reported
from pipeline.run import is_run
from pipeline.storage import ObjectMissing, Store, open_store
from pipeline.views import say

LONGER = "demo:longer"


def pairs_of(candidate: RunClips, baseline: Clips, limit: int | None = None) -> Iterator[Pair]:
    """The items to judge, clips as WAV. With a folder as baseline, a file that is not there has failed."""
    for item_id in islice(compared_ids(candidate, baseline), limit):
        item = candidate.items[item_id]
        yield Pair(
            item_id,
            item.text or "",
            as_wav(candidate.clip(item_id)),
            as_wav(baseline.clip(item_id)),
            item.voice,
        )


def compared_ids(candidate: RunClips, baseline: Clips) -> Iterator[str]:
    """Raises ConfigError for an id with another text in the other run."""
    whole = isinstance(baseline, FolderClips)
    for item_id, item in candidate.items.items():
        other = baseline.items.get(item_id)
        if other is None and not whole:
            continue
        if other is not None and other.text is not None and other.text != item.text:
            raise ConfigError(
                f"the text of {item_id!r} differs between the two runs; compare runs of one set"
            )
        yield item_id


def judge_all(pairs: Iterable[Pair], judge: Judge, store: Store, *, swap: bool, at_once: int) -> list[Judged]:
    """Every pair's verdict, from `verdicts/` where it is there. Raises ConfigError if no answer comes."""
    judged: list[Judged] = []
    remaining = iter(pairs)
    with ThreadPoolExecutor(at_once) as pool:
        while some := list(islice(remaining, at_once)):
            new = list(pool.map(lambda pair: _judge_once(pair, judge, store, swap), some))
            judged += new
            answers = [row.raw for row in judged if row.raw is not None]
            if len(judged) == len(new) and answers and all(a.startswith("judge_failed: ") for a in answers):
                raise ConfigError(f"no verdict was given ({answers[0]}); fix that and run it again")
    return judged


def _judge_once(pair: Pair, judge: Judge, store: Store, swap: bool) -> Judged:
    key = f"verdicts/{pair.item_id}.json"
    clips = [None if c is None else hashlib.sha256(c).hexdigest() for c in (pair.candidate, pair.baseline)]
    asked = {"judge": judge.id, "swap": swap, "text": pair.text, "clips": clips}
    try:
        kept = json.loads(store.get(key))
    except ObjectMissing:
        kept = None
    if kept and kept["asked"] == asked and kept["verdict"]["outcome"] != "unparsed":
        return Judged(**kept["verdict"])
    made = judge_pair(pair, judge, swap=swap)
    store.put(key, json.dumps({"asked": asked, "verdict": asdict(made)}, ensure_ascii=False).encode())
    return made


def compare_systems(
    candidate: str,
    baseline: str,
    out: str,
    judge: Judge,
    *,
    swap: bool = True,
    limit: int | None = None,
    at_once: int = 1,
) -> dict[str, Any]:
    """The account that is also written to OUT/comparison.json; shares are fractions of the candidate."""
    if not is_run(candidate):
        raise ConfigError(f"{candidate} is no run, and the texts are its; name the folder of files second")
    ours, theirs = RunClips(candidate), open_clips(baseline)
    store = open_store(out)
    judged = judge_all(pairs_of(ours, theirs, limit), judge, store, swap=swap, at_once=at_once)
    if not judged:
        raise ConfigError(f"{candidate} and {baseline} have no id in common; compare two systems on one set")
    account = {
        "candidate": candidate,
        "baseline": baseline,
        "judge": judge.id,
        "both_orders": swap,
        "only_in_candidate": len(ours.items.keys() - theirs.items.keys()),
        "only_in_baseline": len(theirs.items.keys() - ours.items.keys()),
        "win_rate": asdict(win_rate(judged)),
        "judge_audit": asdict(audit_positions(judged)),
    }
    store.put("comparison.json", json.dumps(account, indent=2, ensure_ascii=False).encode())
    return account


def print_comparison(console: Console, account: dict[str, Any]) -> None:
    found, audit = account["win_rate"], account["judge_audit"]
    counts = found["counts"]
    say(
        console, f"candidate {account['candidate']}, baseline {account['baseline']}, judge {account['judge']}"
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for name in ("%", "95 %", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    heard = sum(counts[name] for name in ("candidate", "tie", "baseline"))
    rows = [
        ("win rate of the candidate, Wilson", found["wilson"], heard),
        (f"the same, {found['bootstrap']['voices']} voices drawn", found["bootstrap"], heard),
        (
            f"with failures as losses, {found['with_failures']['voices']} voices",
            found["with_failures"],
            found["pairs"],
        ),
        ("judge: first clip wins", audit["first_wins"], audit["decisive"]),
        ("judge: same winner both ways", audit["agreement"], audit["read_twice"]),
    ]
    for label, interval, of in rows:
        table.add_row(label, _percent(interval["estimate"]), _ends(interval), str(of))
    console.print(table)
    wins, ties, losses = counts["candidate"], counts["tie"], counts["baseline"]
    say(console, f"{found['pairs']} pairs: {wins} won, {ties} tied, {losses} lost")
    failed = {name: counts[f"{name}_failed"] for name in ("candidate", "baseline", "both")}
    if any(failed.values()):
        say(console, "generations that failed: " + ", ".join(f"{name} {n}" for name, n in failed.items()))
    if counts["unparsed"]:
        low, high = (_percent(found[f"if_unparsed_{how}"]) for how in ("lost", "won"))
        say(
            console,
            f"{counts['unparsed']} answers could not be read: the win rate is between {low} and {high}",
        )
    for name in ("only_in_candidate", "only_in_baseline"):
        if account[name]:
            say(console, f"{account[name]} ids {name.replace('_', ' ')}")
    if account["judge"].startswith("demo:"):
        say(console, "the judge is for trying things out: it has no ears")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _ends(interval: dict[str, Any]) -> str:
    return "" if interval["low"] is None else f"{_percent(interval['low'])} to {_percent(interval['high'])}"


def judge_named(name: str) -> OpenAIJudge | RankingJudge:
    """Raises ConfigError for another name, and for an endpoint that the environment does not name."""
    if name == LONGER:
        return RankingJudge(len, "longer")
    if name != "openai":
        raise ConfigError(f"--judge {name}: no such judge; there are openai and {LONGER}")
    url, model = (os.environ.get(f"VOICEMILL_JUDGE_{part}", "") for part in ("URL", "MODEL"))
    if not url or not model:
        raise ConfigError("--judge openai: set VOICEMILL_JUDGE_URL (.../v1) and VOICEMILL_JUDGE_MODEL")
    return OpenAIJudge(model, url, os.environ.get("VOICEMILL_JUDGE_KEY", ""))


def main() -> int:
    parser = job_parser("compare_systems", __doc__)
    parser.add_argument("candidate", help="a finished run")
    parser.add_argument("baseline", help="a finished run of the same ids, or a folder of clips")
    parser.add_argument("out", help="folder for verdicts and the account")
    parser.add_argument("--judge", default="openai", help="openai, or demo:longer")
    parser.add_argument(
        "--one-order", action="store_true", help="judge each pair once instead of in both orders"
    )
    parser.add_argument("--limit", type=int, help="judge only this many items")
    parser.add_argument("--at-once", type=int, default=4, help="pairs judged at the same time")
    given = parser.parse_args()
    for name in ("limit", "at_once"):
        if (value := getattr(given, name)) is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be at least 1")
    judge = judge_named(given.judge)
    with ExitStack() as stack:
        if isinstance(judge, OpenAIJudge):
            stack.enter_context(judge)
        account = compare_systems(
            given.candidate,
            given.baseline,
            given.out,
            judge,
            swap=not given.one_order,
            limit=given.limit,
            at_once=given.at_once,
        )
    print_comparison(Console(), account)
    return 0


if __name__ == "__main__":
    sys.exit(reported(main))
