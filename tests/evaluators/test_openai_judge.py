"""Against a local HTTP server; the request's form is that of OpenAI's chat completions with audio input."""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.errors import RowError
from pipeline.evaluators.openai_judge import OpenAIJudge
from pipeline.metrics.pairwise import Pair, heard_first, judge_pair

KEY = "not-a-real-key"


def completion(content):
    return 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


@pytest.fixture
def server():
    """Answers in turn what stands in `answers` (status, body, headers); keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.asked.append((self.path, dict(self.headers), json.loads(body)))
            status, text, *headers = self.server.answers.pop(0)
            data = text.encode()
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        made.answers, made.asked = [], []
        made.url = f"http://127.0.0.1:{made.server_port}/v1"
        thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def judge_of(server, **more):
    return OpenAIJudge("ear-1", server.url, KEY, first_wait_s=0.01, timeout_s=5, **more)


def test_what_is_sent_and_what_comes_back(server):
    server.answers = [completion('{"winner": 1}'), completion('```json\n{"winner": 2}\n```')]
    pair = Pair("a", "Hello.", b"new", b"old", "v")
    with judge_of(server) as judge:
        made = judge_pair(pair, judge)
    assert heard_first("a") == "baseline"
    assert (made.outcome, made.winner, made.swap_winner) == ("baseline",) * 3
    assert made.judge == judge.id
    assert re.fullmatch(r"ear-1@127\.0\.0\.1/temperature=0/[0-9a-f]{8}", judge.id)
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["temperature"]) == ("ear-1", 0)
    clips = [
        [part["input_audio"] for part in asked["messages"][1]["content"] if part["type"] == "input_audio"]
        for _, _, asked in server.asked
    ]
    assert [base64.b64decode(clip["data"]) for clip in clips[0]] == [b"old", b"new"]
    assert [base64.b64decode(clip["data"]) for clip in clips[1]] == [b"new", b"old"]
    assert {clip["format"] for clip in clips[0]} == {"wav"}
    assert "Hello." in body["messages"][1]["content"][0]["text"]


def test_who_is_asked_otherwise_is_another_judge():
    url = "https://ears.example/v1"
    others = [
        {"base_url": "http://ears.example/v1"},
        {"base_url": "https://ears.example:8443/v1"},
        {"base_url": "https://ears.example/v2"},
        {"instructions": "Which is louder?"},
        {"audio_format": "mp3"},
    ]
    ids = [OpenAIJudge(**{"model": "ear-1", "base_url": url} | other).id for other in [{}, *others]]
    assert len(set(ids)) == len(ids)
    assert {name.rpartition("/")[0] for name in ids} == {"ear-1@ears.example/temperature=0"}
    # one endpoint, written in other ways; keys are no part of it
    for same in (f"{url}/", "https://ears.example:443/v1", f"https://me:{KEY}@ears.example/v1"):
        assert OpenAIJudge("ear-1", same, KEY).id == ids[0]


def test_an_id_does_not_change_from_one_version_to_the_next():
    """By hand: printf '["http://h:8000/v1", "Listen.", "wav"]' | sha256sum"""
    judge = OpenAIJudge("ear-1", "http://h:8000/v1", instructions="Listen.")
    assert judge.id == "ear-1@h/temperature=0/3b23fc9a"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_asked_again(server, status):
    server.answers = [(status, "", ("Retry-After", "0")), (status, ""), completion("ok")]
    with judge_of(server) as judge:
        assert judge.compare("t", b"1", b"2") == "ok"
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([(401, KEY)], "answered HTTP 401"),
        ([(503, "")] * 2, "answered HTTP 503"),
        ([(200, "<html>")], "the answer is no chat completion"),
        ([(200, "[]")], "the answer is no chat completion"),
        ([(200, '{"choices": []}')], "the answer is no chat completion"),
        ([completion(None)], "the answer has no text"),
    ],
)
def test_what_goes_wrong_is_one_line_of_the_row(server, answers, message):
    server.answers = list(answers)
    with judge_of(server, tries=2) as judge, pytest.raises(RowError) as caught:
        judge.compare("t", b"1", b"2")
    assert (caught.value.code, caught.value.message) == ("judge_failed", f"{judge.id}: {message}")
    assert server.answers == []
    assert KEY not in str(caught.value)


def test_nobody_there():
    with (
        OpenAIJudge("ear-1", "http://127.0.0.1:9/v1", KEY, tries=2, first_wait_s=0.01) as judge,
        pytest.raises(RowError, match=r"cannot be reached \(Connect"),
    ):
        judge.compare("t", b"1", b"2")
