"""Narration: a book and a voice to its audio, with chapters, subtitles and a report.

    python -m jobs.narration BOOK --out OUT (--ref FILE | --voices VOICES.toml) [...]

The same as `voicemill narrate`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console

from jobs.clone_voices import clone_voices
from pipeline.beforehand import refuse_conflicts
from pipeline.command_options import run_alone
from pipeline.config import RunConfig
from pipeline.errors import ConfigError
from pipeline.lease import Lease
from pipeline.narration.assemble import assemble
from pipeline.narration.lexicon import Lexicon
from pipeline.narration.options import NarrationOptions
from pipeline.narration.read_book import load_book
from pipeline.narration.report import Report, print_script
from pipeline.narration.rounds import (
    Narration,
    Round,
    add_round,
    going_on,
    keep,
    kept,
    never_asked,
    once_more,
    open_folder,
    read_rounds,
    refuse_another_book,
    refuse_unknown,
)
from pipeline.narration.script import Script, make_script
from pipeline.narration.takes import heard_of
from pipeline.narration.voices import Voices, refuse_unvoiced, unvoiced_tags
from pipeline.programme.references import (
    Reference,
    keep_reference,
    read_reference,
    with_own_references,
)
from pipeline.reported import reported
from pipeline.run import config_of_run
from pipeline.storage import Store, open_store
from pipeline.uris import shown
from pipeline.views import say

_SHARD_ROWS_IN_CHAINS = 128


@dataclass(frozen=True, slots=True)
class Cast:
    """The voices, and the file that their references are relative to."""

    voices: Voices
    base_uri: str


def narrate(
    book: str,
    out: str,
    cast: Cast,
    lexicon: Lexicon,
    options: NarrationOptions,
    config: RunConfig,
    console: Console,
    *,
    take_over: bool = False,
) -> Report:
    """Returns the report. Running it again on the same `out` speaks only what is new in the book."""
    script = _read_script(book, cast.voices, lexicon, options, config, console)
    store = open_folder(out)
    refuse_another_book(store, shown(book))
    config = _in_chains(with_own_references(config, store), options.context)
    narration = Narration(store, script, options, _references(store, cast, config))
    for each in read_rounds(store):  # before what is asked for is written down
        refuse_conflicts(narration.run_uri(each.number), "speak", config)
    keep(narration, shown(book))
    if new := never_asked(narration.rows, read_rounds(store)):
        say(
            console,
            f"chapters: {len(script.chapters)}, segments: {len(script.segments)}, to speak: {len(new)}",
        )
        add_round(narration, going_on(narration, new))
    _speak(narration, config, console, take_over=take_over)
    return _assembled(narration, console, take_over=take_over)


def check(
    book: str,
    cast: Cast,
    lexicon: Lexicon,
    options: NarrationOptions,
    config: RunConfig,
    console: Console,
) -> None:
    """Shows what `narrate` would speak, and refuses what it would; nothing is written."""
    script = _read_script(book, cast.voices, lexicon, options, config, console)
    for voice in cast.voices.by_name.values():
        read_reference(cast.base_uri, voice.ref, config.check, f"[{voice.name}]")
    print_script(console, script)


def _read_script(
    book: str,
    voices: Voices,
    lexicon: Lexicon,
    options: NarrationOptions,
    config: RunConfig,
    console: Console,
) -> Script:
    """The book as it would be spoken. Raises ConfigError, ManifestError."""
    say(console, f"reading {shown(book)}")
    text = load_book(book)
    refuse_unvoiced(text, voices, shown(book))
    if tags := unvoiced_tags(text, voices):
        told = ", ".join(f"[{tag}] ({count})" for tag, count in tags.items())
        say(
            console,
            f"tags read aloud as written, by the only voice: {told}; --voices gives each its own",
        )
    return make_script(text, voices, lexicon, options, config.check.language)


def kept_config(out: str) -> RunConfig:
    """The settings that a narration's runs were started with."""
    return config_of_run(kept(out).run_uri(0))


def redo(
    out: str,
    ids: Sequence[str],
    config: RunConfig,
    console: Console,
    *,
    missing: bool = False,
    take_over: bool = False,
) -> Report:
    """Speaks segments again with their next seeds, and puts all together anew; the others stay.

    `config` is that of its runs. What an earlier call left unfinished is ended first, and its segments are
    not begun once more. `missing`: also those that have no take. Raises ConfigError for ids that are not in
    the script, and for none.
    """
    narration = kept(out)
    refuse_unknown(narration, ids)
    if not ids and not missing:
        raise ConfigError("nothing to speak again; name segments, ch03-0041, or give --missing")
    rounds = read_rounds(narration.store)
    ended = {row["id"] for each in rounds if not _is_whole(narration, each) for row in each.rows}
    _speak(narration, config, console, take_over=take_over)
    wanted = [name for name in ids if name not in ended]
    if missing:
        wanted += [each.segment.id for each in heard_of(narration) if each.take is None]
    if again := once_more(narration, wanted, rounds, config.sampling.seed, config.gates.max_takes):
        say(console, f"segments spoken again: {len(again)}")
        add_round(narration, again)
        _speak(narration, config, console, take_over=take_over)
    return _assembled(narration, console, take_over=take_over)


def _in_chains(config: RunConfig, context: int) -> RunConfig:
    """Segments that go on from each other are spoken one after another: an engine needs many such chains."""
    if not context:
        return config
    output = replace(config.output, shard_rows=max(config.output.shard_rows, _SHARD_ROWS_IN_CHAINS))
    return replace(config, model=replace(config.model, context_rows=context), output=output)


def _references(store: Store, cast: Cast, config: RunConfig) -> dict[str, Reference]:
    return {
        voice.name: Reference(
            keep_reference(store, cast.base_uri, voice.ref, config.check, f"[{voice.name}]"),
            voice.ref_text,
            voice.consent_id,
        )
        for voice in cast.voices.by_name.values()
    }


def _speak(narration: Narration, config: RunConfig, console: Console, *, take_over: bool) -> None:
    """Every round is an ordinary run; one that is whole is only looked at for other settings."""
    for each in read_rounds(narration.store):
        uri = narration.run_uri(each.number)
        if _is_whole(narration, each):
            refuse_conflicts(uri, "speak", config)
        else:
            clone_voices(narration.manifest_uri(each.number), uri, config, console, take_over=take_over)


def _is_whole(narration: Narration, each: Round) -> bool:
    return open_store(narration.run_uri(each.number)).exists("_SUCCESS")


def _assembled(narration: Narration, console: Console, *, take_over: bool) -> Report:
    with Lease(narration.store, take_over=take_over, say=partial(say, console)):
        heard = heard_of(narration)
        there = sum(each.take is not None for each in heard)
        say(console, f"segments assembled: {there} of {len(heard)}")
        return assemble(narration, heard, partial(say, console))


def main() -> int:
    from pipeline.commands.narrate import narrate as command

    return run_alone(command)


if __name__ == "__main__":
    sys.exit(reported(main))
