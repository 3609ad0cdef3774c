"""The card of a data set: who made it with what, what it holds, what was left out and why. Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import __version__
from pipeline.dataset.inputs import Voice
from pipeline.dataset.licence import (
    NOT_STATED,
    UNKNOWN,
    ModelLicence,
    licences_by_voice,
    more_open_than_voices,
)
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.survey import QUANTILES, Share, Survey, quantiles, sorted_shares
from pipeline.engine.embedded import note_of
from pipeline.languages import primary_subtag

_MEASURES = {
    "duration_s": "duration, seconds",
    "wer": "word error rate",
    "cer": "character error rate",
    "similarity": "similarity to the reference's voice",
}
# the hub's names of sizes: fewer rows than
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_ESCAPED = str.maketrans({"<": "&lt;"} | {char: f"\\{char}" for char in "\\|[`"})


@dataclass(frozen=True)
class Card:
    """What a card is written from. `run` is the run's record (run.json)."""

    plan: DatasetPlan
    survey: Survey
    licence: ModelLicence
    run: Mapping[str, Any]
    voices: Sequence[Voice] = ()
    texts_left_out: Mapping[str, int] = field(default_factory=dict)  # by reason
    empty_splits: Sequence[str] = ()  # a line for each split without rows


def card_text(card: Card, how_to_load: str, left_out_here: Mapping[str, int]) -> str:
    """The card of one export; `left_out_here` are rows that its format cannot hold, by reason."""
    survey, plan = card.survey, card.plan
    whole = survey.whole
    parts = [
        f"# {plan.name}",
        f"Synthetic speech: {whole.rows} utterances, {_hours(whole.seconds)} hours, "
        f"{len(whole.speakers)} voices. No person said these sentences: the voices are cloned.",
        f"```python\n{how_to_load}\n```",
        "## Made by\n\n" + _table(("", ""), _made_by(card)) + _note(card),
        "## Licence\n\n" + _licence(card),
        "## Contents\n\n" + _contents(survey),
        "## Distributions\n\n" + _distributions(survey),
        "## Left out\n\n" + _left_out(card, left_out_here),
        "## Splits\n\nNo voice is in two splits. A text may be said by several voices, in several splits; no "
        "voice says a text twice." + "".join(f"\n\nNote: {_cell(line)}." for line in card.empty_splits),
    ]
    return "\n\n".join(parts) + "\n"


def hub_header(card: Card, files: Mapping[str, str]) -> str:
    """The YAML head that the Hugging Face Hub and `datasets` read; `files` are patterns by split."""
    from huggingface_hub import DatasetCardData

    count = card.survey.whole.rows
    primary = sorted({primary_subtag(language) for language in card.survey.languages})
    data = DatasetCardData(
        pretty_name=card.plan.name,
        license=card.plan.licence.dataset or UNKNOWN,
        language=primary,
        task_categories=["text-to-speech", "automatic-speech-recognition"],
        size_categories=[next((name for limit, name in _SIZES if count < limit), "n>1M")],
        tags=["audio", "synthetic", "voicemill"],
        annotations_creators=["machine-generated"],
        language_creators=["other"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": path} for split, path in files.items()],
            }
        ],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def _made_by(card: Card) -> list[tuple[str, Any]]:
    identity = card.run["identity"]
    return [
        ("pipeline", f"voicemill {__version__}"),
        ("model", identity["model"]),
        ("codec", identity["codec"]),
        ("heard by", identity["transcriber"]),
        ("voices compared by", identity["speaker_encoder"]),
        ("run", card.run["fingerprint"]),
        ("seed of the sampling", card.plan.seed),
        ("gates", _gates(card.run["settings"].get("gates", {}))),
    ]


def _note(card: Card) -> str:
    """What must be known of the model and of those who judged it."""
    identity = card.run["identity"]
    notes = [note_of(identity["model"])]
    if any(str(identity[name]).startswith("demo:") for name in ("transcriber", "speaker_encoder")):
        notes.append(
            "scores by `demo:*` are for trying things out; do not compare them with published figures"
        )
    return "".join(f"\n\nNote: {note}." for note in notes if note)


def _gates(gates: Mapping[str, Any]) -> str:
    """Those limits that judge, as in a job file."""
    told = [
        f"{name} = {value}"
        for name, value in gates.items()
        if not (value is None or value is False or value == {})  # a limit of 0 judges, and equals False
    ]
    return ", ".join(told) or "none"


def _licence(card: Card) -> str:
    model = card.licence
    lines = [
        _cell(
            f"The data set: {card.plan.licence.dataset or NOT_STATED}. The generating model {model.model}: "
            f"{model.name} (by {model.told_by})."
        )
    ]
    if model.restricts_training:
        lines.append(
            "**The model's licence is not known to allow training other models with its outputs.** The "
            "released Higgs Audio v2 weights (Boson's community licence) forbid to improve other large "
            "language models with them. Read it before you train on this."
        )
    by_voice = licences_by_voice(card.voices)
    if set(by_voice) - {NOT_STATED}:
        lines.append(
            _table(
                ("licence of the reference", "voices"),
                [(licence, ", ".join(speakers)) for licence, speakers in by_voice.items()],
            )
        )
    more_open = more_open_than_voices(card.plan.licence.dataset, card.voices)
    lines += [f"Note: {_cell(line)}." for line in more_open]
    stated = sum(voice.consent_id is not None for voice in card.voices)
    lines.append(f"A consent is named (`consent_id`) for {stated} of {len(card.voices)} references.")
    return "\n\n".join(lines)


def _contents(survey: Survey) -> str:
    rows = [("all", "", survey.whole)]
    for kind, shares in (
        ("split", survey.splits),
        ("language", survey.languages),
        ("style", survey.styles),
    ):
        rows += [(kind, name, share) for name, share in sorted_shares(shares)]
    table = _table(("", "", "utterances", "hours", "voices"), [_share(*row) for row in rows])
    hours = [seconds / 3600 for seconds in survey.speaker_s.values()]
    if not hours:
        return table
    return table + f"\n\nHours of a voice: {min(hours):.3g} to {max(hours):.3g}."


def _share(kind: str, name: str, share: Share) -> tuple[Any, ...]:
    return kind, name, share.rows, _hours(share.seconds), len(share.speakers)


def _distributions(survey: Survey) -> str:
    header = ("", "utterances", "mean", *("least" if q == 0 else f"{q:.0%}" for q in QUANTILES[:-1]), "most")
    rows = []
    for name, label in _MEASURES.items():
        if values := survey.values.get(name):
            numbers = [sum(values) / len(values), *quantiles(values)]
            rows.append((label, len(values), *(f"{number:.3g}" for number in numbers)))
    return _table(header, rows) if rows else "Nothing was kept."


def _left_out(card: Card, here: Mapping[str, int]) -> str:
    survey = card.survey
    gone = sum(survey.left_out.values())
    parts = [
        f"{survey.rows} utterances were asked of the model, {gone} of them are left out: those that failed, "
        "by their fault, and those that did not pass the gates, by the first one."
    ]
    for title, counts in (
        ("utterance", survey.left_out),
        ("line of the text list", card.texts_left_out),
        ("utterance that this format cannot hold", here),
    ):
        if counts:
            parts.append(
                _table((title, "count"), sorted(counts.items(), key=lambda item: (-item[1], item[0])))
            )
    return "\n\n".join(parts)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.4g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    """Names of speakers, styles, models and licences are untrusted: nothing in them may end a cell, open a
    tag or be a link."""
    return " ".join(str(value).split()).translate(_ESCAPED)
