"""A data set in one format, in a folder of its own: its files, then the card, then `_SUCCESS`.

`export.json` is written first and says whose folder it is, so that an export which was killed is made anew
and nobody's files are replaced. `_SUCCESS` says what it was made of; where that has changed it is made again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config import ModelConfig, fingerprint
from pipeline.dataset.card import Card, card_text
from pipeline.dataset.exporters.base import Exporter
from pipeline.dataset.exporters.chatml import ChatML, training_format
from pipeline.dataset.exporters.huggingface import HuggingFace
from pipeline.dataset.exporters.lhotse import LhotseCuts, LhotseShar
from pipeline.dataset.exporters.ljspeech import LJSpeech
from pipeline.dataset.exporters.webdataset import WebDataset
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.selection import Selection
from pipeline.destination import open_destination
from pipeline.engine.model_files import locate
from pipeline.errors import ConfigError, RunConflictError
from pipeline.storage import Store

OWNER, CARD, SUCCESS = "export.json", "README.md", "_SUCCESS"
_CLASSES = (HuggingFace, WebDataset, LhotseCuts, LhotseShar, LJSpeech)
ALIGNMENTS = "alignments"
FORMATS = (*(each.name for each in _CLASSES), ChatML.name, ALIGNMENTS)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Rows in the export, those that its format cannot hold, whether it was there already, and what is other
    than in the one that it replaces."""

    uri: str
    rows: int
    left_out: int
    there_already: bool
    changed: tuple[str, ...] = ()


def check_formats(names: Collection[str], plan: DatasetPlan) -> None:
    """Raises ConfigError for a format that there is not, or whose model the plan does not name."""
    for name in names:
        if name not in FORMATS:
            raise ConfigError(f"--format {name}: there is no such format; use {', '.join(FORMATS)}")
    if ALIGNMENTS in names:
        if plan.alignment.model is None:
            raise ConfigError(
                "alignments (asked for, or there already): name a CTC checkpoint as alignment.model in "
                "the plan"
            )
        locate(plan.alignment.model, plan.alignment.revision, weights=False)


def formats_there(store: Store) -> list[str]:
    """The formats that a data set's folder has an export of, begun or whole."""
    return [name for name in FORMATS if store.exists(f"{name}/{OWNER}")]


def exporter_for(name: str, store: Store, model: ModelConfig, plan: DatasetPlan) -> Exporter:
    """Raises CheckpointError for a checkpoint that the format needs and that cannot be read."""
    if name == ChatML.name:
        return ChatML(store, training_format(model))
    if name == ALIGNMENTS and plan.alignment.model is not None:
        from pipeline.dataset.exporters.alignments import Alignments, aligning_device  # torch
        from pipeline.evaluators.ctc_model import CtcModel

        device = aligning_device(model.device)
        return Alignments(store, CtcModel(plan.alignment.model, plan.alignment.revision, device))
    return next(each for each in _CLASSES if each.name == name)(store)


def export_dataset(
    uri: str, name: str, run_uri: str, selection: Selection, card: Card, model: ModelConfig
) -> ExportReport:
    """Writes the export of a data set that has rows, unless it is there whole.

    Raises RunConflictError for a folder with anything in it that an export of this data set in this format
    did not write, and StorageError.
    """
    store = open_destination(uri)
    exporter = exporter_for(name, store, model, selection.plan)
    what = _content(name, selection, card)
    whole = _whole(store, uri, exporter, what)
    if whole is not None and whole["of"] == what:
        return ExportReport(uri, whole["rows"], sum(whole["left_out"].values()), there_already=True)
    _make_ready(store, uri, exporter, what)
    splits: Counter[str] = Counter()
    for utterance in selection.rows(run_uri):
        exporter.add(utterance)
        splits[utterance.split] += 1
    exporter.finish()
    text = card_text(card, exporter.how_to_load(_example(splits)), exporter.left_out)
    store.put(CARD, (exporter.head(card, sorted(splits)) + text).encode())
    left_out = exporter.left_out.total()
    rows = splits.total() - left_out
    done = {"of": what, "rows": rows, "left_out": dict(sorted(exporter.left_out.items()))}
    store.put(SUCCESS, _json(done))
    changed = () if whole is None else _changed(whole["of"], what)
    return ExportReport(uri, rows, left_out, there_already=False, changed=changed)


def _example(splits: Counter[str]) -> str:
    """The split that the card loads: the one to train on, else the largest."""
    return "train" if "train" in splits else max(sorted(splits), key=splits.__getitem__)


def _content(name: str, selection: Selection, card: Card) -> dict[str, Any]:
    """What an export depends on, by the names it is told under. A run's rows never change, there are only
    more of them."""
    plan = card.plan
    return {
        "format": name,
        "run": selection.run,
        "rows": card.survey.rows,
        "accepted rows": card.survey.whole.rows,
        "rows left out": dict(card.survey.left_out),
        "texts left out": dict(card.texts_left_out),
        "splits": fingerprint({"names": sorted(plan.split_shares), "of": selection.split_of}),
        "styles": fingerprint({name: asdict(style) for name, style in plan.style_shares.items()}),
        "name": plan.name,
        "licences": {
            **asdict(plan.licence),
            **asdict(card.licence),
            "voices": fingerprint({voice.ref: voice.licence for voice in card.voices}),
        },
        "consents": fingerprint({voice.ref: voice.consent_id for voice in card.voices}),
        "alignment": asdict(plan.alignment) if name == ALIGNMENTS else None,
    }


def _changed(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, value in now.items() if before.get(name) != value)


def _whole(store: Store, uri: str, exporter: Exporter, what: dict[str, Any]) -> dict[str, Any] | None:
    """What the `_SUCCESS` of an export of this data set says, if there is one."""
    keys = list(store.list())
    if keys and (OWNER not in keys or store.get(OWNER) != _owner(exporter, what)):
        raise RunConflictError(
            f"{uri} holds {next(key for key in keys)} and is no {exporter.name} export of this data set; "
            "move it away, then export again"
        )
    return dict(json.loads(store.get(SUCCESS))) if SUCCESS in keys else None


def _make_ready(store: Store, uri: str, exporter: Exporter, what: dict[str, Any]) -> None:
    """Takes away what an export wrote before, and says whose folder it is."""
    ours = re.compile(exporter.files)
    written = [key for key in store.list() if key not in (OWNER, CARD, SUCCESS)]
    if (foreign := next((key for key in written if not ours.fullmatch(key)), None)) is not None:
        raise RunConflictError(
            f"{uri} holds {foreign}, which no export wrote; move it away, then export again"
        )
    for key in (SUCCESS, *written):  # the mark first: what is left of the rest is no export
        store.delete(key)
    store.put(OWNER, _owner(exporter, what))


def _owner(exporter: Exporter, what: dict[str, Any]) -> bytes:
    return _json({"format": exporter.name, "run": what["run"]})


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, indent=2, sort_keys=True).encode() + b"\n"
