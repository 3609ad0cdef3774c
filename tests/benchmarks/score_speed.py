"""What scoring costs: a thousand transcripts against their texts, and the aggregates of as many rows.

    python tests/benchmarks/score_speed.py

Issue HEARING wants under 5 s and under 2 s (of 10,000 bootstrap resamples), in one process. One JSON line
each: seconds of the process's own time, the median of five turns, and the ratio of the two within a turn.
"""

from __future__ import annotations

import json
import statistics
import time

import numpy as np

from pipeline.metrics.aggregate import summarise
from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.stages.score_utterance import HeardBy, score_utterances

ROWS, RESAMPLES, TURNS = 1000, 10_000, 5


def transcripts() -> list[Row]:
    said = ["ferry", "leaves", "the", "harbor", "at", "7:30,", "50", "boys'", "well-known", "$3.50"]
    texts = [" ".join(words) for words in np.random.default_rng(0).choice(said, (2 * ROWS, 30))]
    return [
        {"row": i, "utterance_id": f"u{i}", "language": "en", "target_text": target, "hypothesis": heard}
        for i, (target, heard) in enumerate(zip(texts[:ROWS], texts[ROWS:], strict=True))
    ]


def main() -> None:
    heard = transcripts()
    taken: dict[str, list[float]] = {"score": [], "aggregate": []}
    for _ in range(TURNS + 1):
        began = time.process_time()
        scored = score_utterances(heard, HeardBy("hears@1", "embeds@1"))
        taken["score"].append(time.process_time() - began)
        rows = [
            {**row, "status": "ok", "prompt_id": f"v{i % 100}", "similarity": (i % 90) / 90}
            for i, row in enumerate(scored)
        ]
        results = to_table(rows, RESULT_ROW).to_pylist()
        began = time.process_time()
        summarise(results, resamples=RESAMPLES)
        taken["aggregate"].append(time.process_time() - began)
    medians = {name: round(statistics.median(seconds[1:]), 3) for name, seconds in taken.items()}
    ratio = statistics.median(a / b for a, b in list(zip(*taken.values(), strict=True))[1:])
    print(json.dumps({"rows": ROWS, "resamples": RESAMPLES, **medians, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
