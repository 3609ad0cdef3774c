"""Figures by hand; one run through the whole pipeline with the stand-in model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_runs import console, failed, printed, spoken, write_run

from jobs import protocol_ledger
from jobs.seed_tts_eval import FirstRows, refuse_deaf, seed_tts_eval
from pipeline.config import load_config
from pipeline.errors import ConfigError, RunConflictError
from pipeline.metrics.protocols import PROTOCOLS
from pipeline.metrics.published import HeardBy
from pipeline.report.protocol_account import account_for, print_account, score_run
from pipeline.report.protocol_ledger import ledger_of, print_ledger

SEED = PROTOCOLS["seed-tts-eval/en"]
VOICES = Path(__file__).parents[2] / "manifests" / "voices"
# three rows that Seed's rules and F5's see differently, and one that is not there
ROWS = [
    spoken(1, "The boy's toys here", "the boys toys here"),
    spoken(2, "one two three four", "one two three four", similarity=0.7),
    spoken(3, "Don’t go", "Don't go"),
    failed(4, "one two"),
]


def shown(account):
    here = console()
    print_account(here, account)
    return printed(here)


def test_a_finished_run_under_the_protocol(tmp_path):
    account = score_run(write_run(f"{tmp_path}/run", ROWS), SEED)
    assert account["wer"]["value"] == pytest.approx((0.25 + 0 + 0.5 + 1) / 4)
    assert account["wer"]["value_skipping"] == pytest.approx(0.25)
    assert account["similarity"]["value"] == pytest.approx(1.7 / 4)
    text = shown(account)
    assert "missing rows as failures  43.75" in text
    assert "missing rows skipped      25.00" in text
    assert "1 of 4 rows missing (failed: quarantined 1)" in text


def test_the_demo_s_numbers_stand_alone_and_the_output_says_why(tmp_path):
    text = shown(score_run(write_run(f"{tmp_path}/run", ROWS), SEED))
    assert "2.44" not in text
    assert "67.70" not in text
    assert (
        "Higgs Audio v2: the published figure is not put beside ours; WER: ours is heard by demo:ear-1"
        in text
    )
    assert "not as in the protocol: ASR model: seed-tts-eval/en has openai/whisper-large-v3" in text


def test_the_protocol_s_own_asr_stands_beside_the_published_figure_and_says_what_departs(tmp_path):
    run = write_run(f"{tmp_path}/run", ROWS, transcriber=f"openai/whisper-large-v3@{'a' * 40}")
    text = shown(score_run(run, SEED))
    assert "Higgs Audio v2, published   2.44" in text
    assert "67.70" not in text  # the speaker model is another
    assert "not as in the protocol: ASR resampler: seed-tts-eval/en has scipy.signal.resample" in text
    assert "believed test-en" in text


def test_two_runs_pair_by_pair(tmp_path):
    better = [row | {"hypothesis": row["target_text"]} for row in ROWS[:3]] + [ROWS[3]]
    before, after = write_run(f"{tmp_path}/a", ROWS), write_run(f"{tmp_path}/b", better)
    account = score_run(after, SEED, other=before)
    comparison = account["comparison"]
    assert (comparison["rows"], comparison["a"], comparison["b"]) == (4, 0.4375, 0.25)
    assert comparison["difference_points"]["estimate"] == pytest.approx(-18.75)
    assert f"this run (B) against {before} (A): -18.75 points" in shown(account)
    assert "SIM, B less A: +0.00 points (+0.00 to +0.00)" in shown(account)


def test_the_account_is_kept_in_the_run_s_folder(tmp_path):
    run, here = write_run(f"{tmp_path}/run", ROWS), console()
    account = account_for(run, PROTOCOLS["f5/en"], here)
    assert json.loads(Path(run, "protocols", "f5-en.json").read_text()) == account
    assert "f5/en" in printed(here)
    assert "Higgs" not in printed(here)  # nothing is published under this name
    assert f"all of it: {run}/protocols/f5-en.json" in printed(here)


def test_runs_that_do_not_compare_are_refused(tmp_path):
    here = write_run(f"{tmp_path}/a", ROWS)
    other_ear = write_run(f"{tmp_path}/b", ROWS, transcriber="demo:other-2")
    with pytest.raises(ConfigError, match=r"was heard by demo:other-2, this run by demo:ear-1"):
        score_run(here, SEED, other=other_ear)
    other_text = write_run(f"{tmp_path}/c", [ROWS[0] | {"target_text": "Something else"}])
    with pytest.raises(ConfigError, match="the text of 'utt-1' is another there"):
        score_run(here, SEED, other=other_text)
    with pytest.raises(RunConflictError, match="is not complete"):
        score_run(write_run(f"{tmp_path}/d", ROWS, whole=False), SEED)


def test_the_ledger_command_refuses_what_is_not_whole(tmp_path, monkeypatch):
    run = write_run(f"{tmp_path}/run", ROWS, whole=False)
    monkeypatch.setattr("sys.argv", ["protocol_ledger", run])
    with pytest.raises(RunConflictError, match="is not complete"):
        protocol_ledger.main()


def test_what_has_nothing_to_say_is_counted_where_it_is(tmp_path):
    silent = [spoken(5, "?!", "hm", similarity=0.7), failed(6, "...")]
    account = score_run(write_run(f"{tmp_path}/run", [*ROWS, *silent]), SEED)
    # 4 and 3 rows have a WER; of the six, two have no similarity
    assert (account["wer"]["rows"], account["wer"]["rows_skipping"]) == (4, 3)
    assert account["wer"]["value"] == pytest.approx((0.25 + 0 + 0.5 + 1) / 4)
    assert (account["similarity"]["rows"], account["similarity"]["rows_skipping"]) == (6, 4)
    lines = [line.split() for line in shown(account).splitlines()]
    assert [line[-1] for line in lines if line[:2] == ["missing", "rows"]] == ["4", "3"]
    assert "2 rows have nothing to say by these rules: not in the WER" in shown(account)
    assert f"95 %: {account['wer']['voices']} voices drawn whole" in shown(account)
    # a row that says nothing and failed is no rate of 0 in the ledger either
    [seed, *_] = ledger_of([*ROWS, *silent], SEED, HeardBy("demo:ear-1", "none"))
    assert seed["rate"] == pytest.approx(0.4375)


def test_the_ledger_says_what_each_difference_costs(tmp_path):
    account = score_run(write_run(f"{tmp_path}/run", ROWS), SEED, with_ledger=True)
    lines = {line["protocol"]: line for line in account["ledger"]}
    assert lines[SEED.name]["rate"] == pytest.approx(0.4375)
    # F5 deletes the apostrophes that make two of the rows differ
    assert lines["f5/en"]["rate"] == pytest.approx(0.25)
    [cost] = lines["f5/en"]["costs"]
    assert (cost["what"], cost["points"], cost["changed_rows"]) == ("text rules", pytest.approx(-18.75), 2)
    assert all(line["text_rules_only"] for line in lines.values())  # heard by none of their ASRs
    here = console()
    print_ledger(here, account["ledger"])
    assert "-18.75             2  text rules: seed_en/1 to f5_en/1" in printed(here)
    assert "* heard by another ASR" in printed(here)


def test_protocols_that_share_the_asr_are_not_marked():
    heard_by = HeardBy("demo:pocketsphinx-5.1.1/en-us", "none")
    marked = {
        line["protocol"]: line["text_rules_only"] for line in ledger_of(ROWS, PROTOCOLS["demo/en"], heard_by)
    }
    assert marked["demo/en"] is False
    assert marked["seed-tts-eval/en"] is True
    with pytest.raises(ConfigError, match="the run has no row in zh"):
        ledger_of(ROWS, PROTOCOLS["f5/zh"], heard_by)


def test_a_transcriber_that_cannot_hear_is_refused_before_anything_is_spent():
    with pytest.raises(ConfigError, match="hears English only, and seed-tts-eval/zh is for zh"):
        refuse_deaf(load_config(), PROTOCOLS["seed-tts-eval/zh"])
    with pytest.raises(ConfigError, match="without transcripts there is nothing to score"):
        refuse_deaf(load_config(None, ["evaluation.transcriber=none"]), SEED)


def test_the_first_rows():
    class Source:
        def rows(self):
            return iter([{"row": 1}, {"row": 2}, {"row": 3}])

    assert list(FirstRows(Source(), 2).rows()) == [{"row": 1}, {"row": 2}]
    assert len(list(FirstRows(Source(), None).rows())) == 3


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_from_meta_lst_to_the_table(tmp_path):
    voice = VOICES / "slt-1.flac"
    (tmp_path / "meta.lst").write_text(
        f"first|The ferry leaves.|{voice}|Good evening to you.\n"
        f"gone|The ferry leaves.|nowhere.wav|Never said.\n"
        f"third|The ferry leaves.|{voice}|Beyond the limit.\n"
    )
    config = load_config(None, ["resources.num_cpus=2", f"resources.prompt_cache={tmp_path}/cache"])
    out, here = f"{tmp_path}/run", console()
    account = seed_tts_eval(f"{tmp_path}/meta.lst", out, config, SEED, here, limit=2)
    assert (account["rows"], account["missing_reasons"]) == (2, {"failed: uri_not_found": 1})
    assert account["wer"]["value"] >= 0.5
    assert json.loads(Path(out, "protocols", "seed-tts-eval-en.json").read_text()) == account
    assert "seed-tts-eval/en" in printed(here)
    # finished: another protocol is only another count
    again = seed_tts_eval(f"{tmp_path}/meta.lst", out, config, PROTOCOLS["f5/en"], here, limit=2)
    assert again["protocol"] == "f5/en"
    assert "is complete" in printed(here)
