"""A judge behind an OpenAI-compatible chat endpoint that takes audio (`input_audio` parts)."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from types import TracebackType
from typing import Any

import httpx2 as httpx

from pipeline.errors import RowError

_INSTRUCTIONS = (
    "You hear two recordings of the same text by two speech synthesis systems. Judge which one speaks the "
    "text better: the words, their pronunciation, prosody and expression, and the sound. Answer with one "
    'JSON object and nothing else: {"reasoning_1": string, "reasoning_2": string, "score_1": number from 0 '
    'to 3, "score_2": number from 0 to 3, "winner": 0 if neither is better, 1 or 2}.'
)
_WORTH_ANOTHER_TRY = frozenset({408, 409, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 60.0


class OpenAIJudge:
    """Asks `POST {base_url}/chat/completions` at temperature 0, one pair a request.

    A refused or broken request is tried again up to `tries` times, after 1, 2, 4 ... seconds or what
    `Retry-After` says. Clips are WAV by default; the endpoint must take `audio_format`. Close it, or use it
    in a `with` block. Its id ends in a hash of the endpoint's whole address, the instructions and the format:
    verdicts of one judge are not taken for another's.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str = "",
        *,
        audio_format: str = "wav",
        instructions: str = _INSTRUCTIONS,
        timeout_s: float = 120.0,
        tries: int = 4,
        first_wait_s: float = 1.0,
    ) -> None:
        self.id = _id_of(model, base_url, instructions, audio_format)
        self._model, self._format, self._instructions = model, audio_format, instructions
        self._tries, self._first_wait_s = tries, first_wait_s
        self._client = httpx.Client(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout_s,
        )

    def __enter__(self) -> OpenAIJudge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self._client.close()

    def compare(self, text: str, first: bytes, second: bytes) -> str:
        """The model's answer as it is. Raises RowError `judge_failed`, which names no key and no clip."""
        body = {"model": self._model, "temperature": 0, "messages": self._messages(text, first, second)}
        response = self._post(body)
        try:
            content = response.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise RowError("judge_failed", f"{self.id}: the answer is no chat completion") from error
        if not isinstance(content, str):
            raise RowError("judge_failed", f"{self.id}: the answer has no text")
        return content

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        reason = "was not asked"
        for attempt in range(self._tries):
            wait = self._first_wait_s * 2.0**attempt
            try:
                response = self._client.post("chat/completions", json=body)
            except httpx.RequestError as error:
                reason = f"cannot be reached ({type(error).__name__})"
            else:
                if response.is_success:
                    return response
                reason = f"answered HTTP {response.status_code}"
                if response.status_code not in _WORTH_ANOTHER_TRY:
                    break
                wait = _told(response, wait)
            if attempt + 1 < self._tries:
                time.sleep(min(wait, _LONGEST_WAIT_S))
        raise RowError("judge_failed", f"{self.id}: {reason}")

    def _messages(self, text: str, first: bytes, second: bytes) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = [{"type": "text", "text": f"The text:\n{text}"}]
        for number, clip in enumerate((first, second), start=1):
            parts.append({"type": "text", "text": f"Recording {number}:"})
            data = base64.b64encode(clip).decode()
            parts.append({"type": "input_audio", "input_audio": {"data": data, "format": self._format}})
        return [{"role": "system", "content": self._instructions}, {"role": "user", "content": parts}]


def _id_of(model: str, base_url: str, instructions: str, audio_format: str) -> str:
    url = httpx.URL(base_url.rstrip("/"))
    # neither user nor query: an id names no key
    address = f"{url.scheme}://{url.netloc.decode()}{url.path}"
    asked = hashlib.sha256(json.dumps([address, instructions, audio_format]).encode()).hexdigest()
    return f"{model}@{url.host}/temperature=0/{asked[:8]}"


def _told(response: httpx.Response, otherwise: float) -> float:
    """Seconds of `Retry-After`; its other form, a date, is not read."""
    said = response.headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() else otherwise
