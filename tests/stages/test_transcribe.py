from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.audio import Waveform, encode_flac
from pipeline.evaluators.base import Transcript
from pipeline.metrics.published import HeardBy
from pipeline.records import SCORED_ROW, Row, to_table
from pipeline.stages.score_utterance import score_utterances
from pipeline.stages.transcribe import transcribe


class Says:
    id = "says@1"

    def __init__(self, *transcripts: Transcript) -> None:
        self.transcripts = transcripts

    def transcribe(self, waveforms: Sequence[Waveform], languages: Sequence[str]) -> list[Transcript]:
        return list(self.transcripts)


def heard(*transcripts: Transcript) -> list[Row]:
    audio = {"bytes": encode_flac(Waveform(np.zeros(10, np.float32), 16_000))}
    rows = [
        {"row": i, "utterance_id": f"u{i}", "language": "en", "target_text": "Good evening.", "audio": audio}
        for i in range(len(transcripts))
    ]
    made = score_utterances(transcribe(rows, Says(*transcripts)), HeardBy("says@1", "none"))
    result: list[Row] = to_table(made, SCORED_ROW).to_pylist()
    return result


def test_all_that_the_transcriber_says_is_in_the_row() -> None:
    [row] = heard(Transcript("good evening", None, "de", 0.75, 0.125, -0.5))
    names = ("language_heard", "language_probability", "no_speech_probability", "avg_logprob")
    assert [row[name] for name in names] == ["de", 0.75, 0.125, -0.5]


def test_silence_is_heard_as_nothing_and_scored_so() -> None:
    silent, unscored = heard(Transcript("", "silent: under -70 dBFS"), Transcript(None, "not my language"))
    assert (silent["hypothesis"], silent["wer"], silent["cer"]) == ("", 1.0, 1.0)
    assert silent["unscored_reason"] == "silent: under -70 dBFS"
    assert silent["language_heard"] is None
    assert (unscored["hypothesis"], unscored["wer"]) == (None, None)
