"""The embedded transcriber: pocketsphinx with the US English model that its wheel carries."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.audio import Waveform, resample, to_int16
from pipeline.evaluators.base import Transcript, without_speech
from pipeline.evaluators.checkpoints import missing_package, package_version
from pipeline.languages import primary_subtag

_SAMPLE_RATE = 16_000


class PocketsphinxTranscriber:
    """Open-vocabulary English on one CPU core."""

    def __init__(self) -> None:
        """Raises CheckpointError where the package is missing."""
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise missing_package("pocketsphinx") from error
        # clips without one whole frame are logged as errors, but they are an answer here: ""
        self._decoder = Decoder(samprate=_SAMPLE_RATE, loglevel="FATAL")
        self.id = f"demo:pocketsphinx-{package_version('pocketsphinx')}/en-us"

    def transcribe(self, waveforms: Sequence[Waveform], languages: Sequence[str]) -> list[Transcript]:
        """One transcript per waveform, in order; another language than English is left unscored."""
        return [self._one(*pair) for pair in zip(waveforms, languages, strict=True)]

    def _one(self, waveform: Waveform, language: str) -> Transcript:
        if primary_subtag(language) != "en":
            return Transcript(None, "demo:pocketsphinx hears English only")
        if (silent := without_speech(waveform)) is not None:
            return silent
        # noise statistics and cepstral means outlive an utterance: new ones, or a clip's text
        # would depend on the clips before it
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(to_int16(resample(waveform, _SAMPLE_RATE).samples).tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return Transcript("" if hypothesis is None else hypothesis.hypstr)
