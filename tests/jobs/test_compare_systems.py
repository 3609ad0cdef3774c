"""Two tiny runs from end to end: with the deterministic judge, and over HTTP with a judge that counts."""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler

import pytest
import soundfile
from made_runs import console, failed, printed, spoken, tone, write_run

from jobs import compare_systems as job
from pipeline.errors import ConfigError, ManifestError
from pipeline.metrics.pairwise import heard_first
from pipeline.report.system_clips import as_wav

LONGER = job.judge_named(job.LONGER)
TEXTS = [f"Sentence number {i}." for i in range(1, 9)]
# candidate longer in 1 to 4, equal in 5, shorter in 6; 7 failed here, 8 failed there
CANDIDATE = [
    *(spoken(i, TEXTS[i - 1], seconds=0.2) for i in range(1, 5)),
    *(spoken(i, TEXTS[i - 1], seconds=0.1) for i in (5, 6)),
    failed(7, TEXTS[6]),
    spoken(8, TEXTS[7]),
]
BASELINE = [
    *(spoken(i, TEXTS[i - 1], seconds=0.1) for i in range(1, 6)),
    spoken(6, TEXTS[5], seconds=0.2),
    spoken(7, TEXTS[6]),
    spoken(8, TEXTS[7], status="rejected", audio=None),
]


@pytest.fixture
def runs(tmp_path):
    return write_run(f"{tmp_path}/new", CANDIDATE), write_run(f"{tmp_path}/old", BASELINE[::-1])


def test_by_hand(runs, tmp_path):
    account = job.compare_systems(*runs, f"{tmp_path}/out", LONGER)
    found = account["win_rate"]
    assert found["counts"] == {
        "candidate": 4,
        "tie": 1,
        "baseline": 1,
        "candidate_failed": 1,
        "baseline_failed": 1,
        "both_failed": 0,
        "unparsed": 0,
    }
    assert found["wilson"]["estimate"] == found["bootstrap"]["estimate"] == pytest.approx(4.5 / 6)
    assert found["with_failures"]["estimate"] == pytest.approx(5.5 / 8)
    assert account["judge_audit"]["agreement"]["estimate"] == 1.0
    assert account["judge_audit"]["first_wins"]["estimate"] == 0.5
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == account
    here = console()
    job.print_comparison(here, account)
    assert "8 pairs: 4 won, 1 tied, 1 lost" in printed(here)
    assert "generations that failed: candidate 1, baseline 1, both 0" in printed(here)
    assert "it has no ears" in printed(here)


def test_the_other_way_round_the_shares_add_to_one(runs, tmp_path):
    there = job.compare_systems(runs[1], runs[0], f"{tmp_path}/there", LONGER)["win_rate"]
    assert there["wilson"]["estimate"] == pytest.approx(1 - 4.5 / 6)
    assert there["with_failures"]["estimate"] == pytest.approx(1 - 5.5 / 8)


def test_a_folder_is_a_system_and_what_is_not_in_it_has_failed(runs, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "utt-1.flac").write_bytes(tone(0.1))
    (folder / "utt-2.wav").write_bytes(as_wav(tone(0.3)) or b"")
    (folder / "utt-3.wav").write_bytes(b"no audio")
    (folder / "notes.txt").write_text("not a clip")
    (folder / "other.wav").write_bytes(as_wav(tone(0.1)) or b"")
    account = job.compare_systems(runs[0], str(folder), f"{tmp_path}/out", LONGER, limit=4)
    counts = account["win_rate"]["counts"]
    assert (counts["candidate"], counts["baseline"], counts["baseline_failed"]) == (1, 1, 2)
    assert account["only_in_baseline"] == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="is no run and holds no audio files"):
        job.compare_systems(runs[0], f"{tmp_path}/empty", f"{tmp_path}/out2", LONGER)
    with pytest.raises(ConfigError, match="name the folder of files second"):
        job.compare_systems(str(folder), runs[0], f"{tmp_path}/out3", LONGER)


def test_runs_of_different_sets(runs, tmp_path):
    other = write_run(f"{tmp_path}/other", [spoken(1, "Another text.")])
    with pytest.raises(ConfigError, match="the text of 'utt-1' differs"):
        job.compare_systems(runs[0], other, f"{tmp_path}/out", LONGER)
    strange = write_run(f"{tmp_path}/strange", [spoken(77, "x")])
    with pytest.raises(ConfigError, match="no id in common"):
        job.compare_systems(runs[0], strange, f"{tmp_path}/out", LONGER)


def test_clips_are_wav_of_the_same_sound():
    samples, rate = soundfile.read(io.BytesIO(as_wav(tone(0.2)) or b""), dtype="int16")
    theirs, their_rate = soundfile.read(io.BytesIO(tone(0.2)), dtype="int16")
    assert rate == their_rate
    assert abs(samples - theirs).max() <= 1
    assert as_wav(None) is None
    assert as_wav(b"no audio") is None


@pytest.fixture
def endpoint(serve, monkeypatch):
    """An OpenAI-compatible judge that prefers the longer recording; `broken` answers are no JSON."""
    asked, lock = [], threading.Lock()
    state = {"broken": set(), "status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = body["messages"][1]["content"]
            clips = [
                base64.b64decode(part["input_audio"]["data"])
                for part in content
                if part["type"] == "input_audio"
            ]
            with lock:
                asked.append(
                    (self.path, self.headers["Authorization"], body["model"], content[0]["text"], clips)
                )
            one, two = map(len, clips)
            winner = 0 if one == two else 1 if one > two else 2
            text = json.dumps({"reasoning_1": "a", "score_1": 3, "score_2": 1, "winner": winner})
            if any(broken in content[0]["text"] for broken in state["broken"]):
                text = "I would rather not say."
            data = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
            self.send_response(state["status"])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("VOICEMILL_JUDGE_URL", f"{serve(Handler)}/v1")
    monkeypatch.setenv("VOICEMILL_JUDGE_MODEL", "ear-2")
    monkeypatch.setenv("VOICEMILL_JUDGE_KEY", "not-a-real-key")
    return asked, state


def run_main(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["compare_systems", *arguments])
    assert job.main() == 0
    said = capsys.readouterr()
    return said.out + said.err


def test_over_http(runs, tmp_path, endpoint, monkeypatch, capsys):
    asked, state = endpoint
    state["broken"] = {TEXTS[0]}
    out = tmp_path / "out"
    text = run_main(monkeypatch, capsys, *runs, str(out))
    assert "8 pairs: 3 won, 1 tied, 1 lost" in text
    assert "1 answers could not be read: the win rate is between 58.3 and 75.0" in text  # 3.5 and 4.5 of 6
    assert len(asked) == 2 * 6  # two orders; failed generations are not heard
    path, key, model, _, clips = next(call for call in asked if TEXTS[5] in call[3])
    assert (path, key, model) == ("/v1/chat/completions", "Bearer not-a-real-key", "ear-2")
    first = {"candidate": 0.1, "baseline": 0.2}[heard_first("utt-6")]
    lengths = {len(clip) for clip in clips}
    assert len(clips[0]) == (min(lengths) if first == 0.1 else max(lengths))
    kept = "".join(file.read_text() for file in out.rglob("*.json"))
    assert "not-a-real-key" not in text + kept
    assert '"judge": "ear-2@127.0.0.1/temperature=0/' in kept

    # again: only what could not be read is asked
    asked.clear()
    state["broken"] = set()
    assert "8 pairs: 4 won, 1 tied, 1 lost" in run_main(monkeypatch, capsys, *runs, str(out))
    assert [call[3] for call in asked] == [f"The text:\n{TEXTS[0]}"] * 2
    # another judge's verdicts are not taken for this one's
    asked.clear()
    monkeypatch.setenv("VOICEMILL_JUDGE_MODEL", "ear-3")
    run_main(monkeypatch, capsys, *runs, str(out), "--one-order", "--limit", "3")
    assert len(asked) == 3


def test_a_judge_that_never_answers_ends_it_at_once(runs, tmp_path, endpoint, monkeypatch):
    asked, state = endpoint
    state["status"] = 401
    with pytest.raises(ConfigError, match=r"no verdict was given \(judge_failed: .* HTTP 401\)") as caught:
        job.compare_systems(*runs, f"{tmp_path}/out", job.judge_named("openai"), at_once=2)
    assert len(asked) == 4
    assert "not-a-real-key" not in str(caught.value)


def test_which_judges_there_are(monkeypatch):
    with pytest.raises(ConfigError, match="no such judge; there are openai and demo:longer"):
        job.judge_named("gemini")
    monkeypatch.delenv("VOICEMILL_JUDGE_URL", raising=False)
    with pytest.raises(ConfigError, match="set VOICEMILL_JUDGE_URL"):
        job.judge_named("openai")
