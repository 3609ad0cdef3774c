"""What is printed, to a terminal and to a pipe."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Console
from test_beforehand import Whole, whole

from pipeline.lease import Lease
from pipeline.metrics.aggregate import summarise
from pipeline.records import Row
from pipeline.results import read_results
from pipeline.views import print_results, print_status, print_summary, results_table

__all__ = ["whole"]  # the fixture: a run of a good and a bad row


def console(width: int = 80, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, no_color=True)


def printed(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_status_counts_failures_by_code(whole: Whole) -> None:
    shown = console()
    print_status(shown, whole.run.uri)
    assert "failed       1 (uri_not_found 1)" in printed(shown)
    assert "complete     yes" in printed(shown)


def test_status_sends_nobody_to_a_run_that_a_driver_works_on(whole: Whole) -> None:
    whole.run.store.delete("_SUCCESS")
    print_status(shown := console(), whole.run.uri)
    assert "complete     no: run the same command again" in printed(shown)
    with Lease(whole.run.store, take_over=False, say=print):
        print_status(shown := console(), whole.run.uri)
    assert "complete     no" in printed(shown)
    assert any(line.startswith(f"driver       process {os.getpid()} on ") for line in printed(shown))


def test_facts_are_neither_wrapped_nor_padded(whole: Whole) -> None:
    shown = console(width=20)
    print_status(shown, whole.run.uri)
    assert f"run          {whole.run.uri}" in printed(shown)
    assert all(line == line.rstrip() for line in printed(shown))


def test_results_in_a_pipe_are_a_line_a_row(whole: Whole, capfd: pytest.CaptureFixture[str]) -> None:
    print_results(console(), whole.run.uri, "table", None, all_columns=False, only_failed=False)
    header, *lines = (line.split("\t") for line in capfd.readouterr().out.splitlines())
    assert header[:4] == ["utterance_id", "status", "wer", "cer"]
    assert header[-3:] == ["error_code", "error_message", "gate_reasons"]
    assert [line[:2] for line in lines] == [["good", "ok"], ["bad", "failed"]]
    assert all(len(line) == len(header) for line in lines)


def test_results_on_a_terminal_are_a_table(whole: Whole) -> None:
    shown = console(terminal=True)
    print_results(shown, whole.run.uri, "table", None, all_columns=False, only_failed=True)
    text = "\n".join(printed(shown))
    assert "uri_not_found" in text
    assert "good" not in text


def test_rejected_rows_say_what_they_did_not_pass(whole: Whole) -> None:
    rows = read_results(whole.run.uri).to_pylist()
    reasons = ["wer: 0.9, at most 0.3", "similarity: 0.1, at least 0.6"]
    rows[0] |= {"status": "rejected", "gate": "rejected", "gate_reasons": reasons}
    rows[1] |= {"status": "ok", "gate": "warned", "gate_reasons": ["finish_reason: length"]}
    shown = console(width=200)
    shown.print(results_table(rows))
    text = "\n".join(printed(shown))
    assert "wer: 0.9, at most 0.3; similarity: 0.1, at least 0.6" in text
    assert "finish_reason" not in text


def test_ground_truths_are_shown_where_there_are_some(whole: Whole) -> None:
    [good, *_] = rows = read_results(whole.run.uri).to_pylist()
    without = console()
    print_summary(without, summarise(rows), whole.run.uri)
    without.print(results_table(rows))
    assert not [line for line in printed(without) if line.startswith("to ground truth")]
    assert "sim gt" not in "\n".join(printed(without))
    good |= {"ground_truth_audio": "said.flac", "similarity_ground_truth": 0.625}
    shown = console()
    print_summary(shown, summarise(rows), whole.run.uri)
    [line] = [line for line in printed(shown) if line.startswith("to ground truth")]
    assert "0.625 mean (1 rows; " in line
    shown.print(results_table(rows))
    table = "\n".join(printed(shown))
    assert "sim gt" in table
    assert "0.62" in table


def test_the_summary_says_why_scores_are_missing(whole: Whole) -> None:
    rows = read_results(whole.run.uri).to_pylist()
    rows[0] |= {"unscored_reason": "similarity: no voiced audio", "hypothesis": "good evening", "wer": 0.0}
    rows[0] |= dict.fromkeys(("wer_substitutions", "wer_deletions", "wer_insertions"), 0)
    rows[0]["wer_reference_words"] = 2
    shown = console()
    print_summary(shown, summarise(rows), whole.run.uri)
    [similarity] = [line for line in printed(shown) if line.startswith("similarity")]
    assert "(0 rows, 1 without: no voiced audio; " in similarity
    [wer] = [line for line in printed(shown) if line.startswith("WER")]
    assert "(1 rows; heard by" in wer
    assert "[" not in wer, "one voice has no interval"


def test_an_interval_stands_beside_its_number_of_voices(whole: Whole) -> None:
    [good, *_] = read_results(whole.run.uri).to_pylist()
    rows = [good | {"prompt_audio": f"{i}.flac", "similarity": 0.5 + i / 10} for i in range(3)]
    shown = console()
    print_summary(shown, summarise(rows), whole.run.uri)
    [line] = [line for line in printed(shown) if line.startswith("similarity")]
    # the percentiles are the least and the greatest voice, 2.69 times as far from the mean
    assert "0.600 [0.331 to 0.869, 3 voices] mean (3 rows" in line


def test_a_row_shows_the_rate_of_its_language(whole: Whole) -> None:
    [good, *_] = read_results(whole.run.uri).to_pylist()
    chinese = good | {"language": "zh", "normalizer": "zh/1", "wer": 1.0, "cer": 0.07}
    english = good | {"language": "en", "normalizer": "en/3", "wer": 0.25, "cer": 0.11}

    def table(*rows: Row) -> list[list[str]]:
        shown = console(width=200)
        shown.print(results_table(list(rows)))
        return [line.split() for line in printed(shown)]

    header, first, _ = table(chinese)
    assert (header[2], first[2]) == ("cer", "0.07")
    header, first, _ = table(english)
    assert (header[2], first[2]) == ("wer", "0.25")
    header, first, _, second, _ = table(chinese, english)
    assert (header[2:4], first[2:4], second[2:4]) == (["wer", "cer"], ["-", "0.07"], ["0.25", "-"])
