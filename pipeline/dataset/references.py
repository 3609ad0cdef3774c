"""All references of a table of voices, looked at as a run looks at its own, before a row is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.config import RunConfig
from pipeline.consent import load_consent
from pipeline.dataset.inputs import Voice, bad_voices, two_speakers
from pipeline.preflight import look_at_recording, prompt_limits
from pipeline.uri_rules import rules_of
from pipeline.uris import shown


def check_references(voices: Sequence[Voice], voices_uri: str, config: RunConfig) -> None:
    """Raises ManifestError that names voice and file of what no run would take, and of a recording that lies
    there twice, for two speakers; ConfigError for a list of revoked consents that cannot be read."""
    check, consent = config.check, load_consent(config.consent.required, config.consent.revoked)
    limits, rules = prompt_limits(check), rules_of(check)
    refs = list(dict.fromkeys(voice.ref for voice in voices))
    with ThreadPoolExecutor(config.resources.check_threads) as pool:
        verdicts = pool.map(lambda ref: look_at_recording(ref, "reference", limits, check, rules), refs)
        verdict_of = dict(zip(refs, verdicts, strict=True))
    told = []
    first_of: dict[str, Voice] = {}
    for voice in voices:
        verdict, refused = verdict_of[voice.ref], consent.fault(voice.consent_id)
        for fault in (*verdict.faults, *([] if refused is None else [refused])):
            file = shown(voice.ref)
            where = voice.speaker if file in fault.message else f"{voice.speaker}: {file}"
            told.append(f"{where}: {fault.code}: {fault.message}")
        if verdict.audio_sha256 is not None:
            other = first_of.setdefault(verdict.audio_sha256, voice)
            if other.speaker != voice.speaker:
                told.append(two_speakers(voice.speaker, other.speaker, voice.ref, other.ref))
    if told:
        raise bad_voices(voices_uri, told)
