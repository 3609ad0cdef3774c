"""The voices of a prompt: recorded ones, and those that are only described.

A recorded voice stands in turns of its own (what is said in the reference, then the reference), a described
one as a line of the scene block, `SPEAKER0: masculine, moderate pace`. Source: `prepare_generation_context`
of the original repository's examples/generation.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engine.dialogue import speaker_name
from pipeline.records import SpeakerPrompt, SynthesisRequest


@dataclass(frozen=True, slots=True)
class Recorded:
    """`said` is the user turn before the reference: its text, behind a tag where there are several voices."""

    name: str
    prompt: SpeakerPrompt
    said: str
    audio_url: str | None


@dataclass(frozen=True, slots=True)
class Described:
    name: str
    description: str


Voice = Recorded | Described


@dataclass(frozen=True, slots=True)
class SceneBlock:
    """`texts[0], clips[0], texts[1], ...`: a voice that is heard in the scene stands between two texts."""

    texts: list[str]
    clips: list[Recorded]


def voices_of(request: SynthesisRequest, prompts: Sequence[SpeakerPrompt]) -> list[Voice]:
    """SPEAKER0, SPEAKER1, ...; `prompts` are those of the row's references, in the order of its speakers."""
    if request.voices is None:
        [prompt] = prompts
        return [Recorded(speaker_name(0), prompt, prompt.prompt_text, request.prompt_audio)]
    left = iter(prompts)
    voices: list[Voice] = []
    for name, voice in zip(map(speaker_name, range(len(request.voices))), request.voices, strict=True):
        if voice["prompt_audio"] is None:
            voices.append(Described(name, voice["description"] or ""))
            continue
        prompt = next(left)
        said = f"[{name}] {prompt.prompt_text}" if len(request.voices) > 1 else prompt.prompt_text
        voices.append(Recorded(name, prompt, said, voice["prompt_audio"]))
    return voices


def listed_in_scene(voices: Sequence[Voice], *, all_together: bool) -> list[Voice]:
    """Those that are lines of the scene block: the described ones.

    `all_together`: the original chat moves the recorded ones there, too, as soon as one is described.
    """
    described: list[Voice] = [voice for voice in voices if isinstance(voice, Described)]
    return list(voices) if described and all_together else described


def scene_block(scene: str | None, listed: Sequence[Voice]) -> SceneBlock | None:
    """The scene and a line for each of the `listed`; None where there is neither."""
    if scene is None and not listed:
        return None
    texts: list[str] = [scene or ""]
    clips: list[Recorded] = []
    # the scene is a paragraph, the voices are the lines of the next
    between = "\n\n" if scene else ""
    for voice in listed:
        texts[-1] += f"{between}{voice.name}: "
        between = "\n"
        if isinstance(voice, Described):
            texts[-1] += voice.description
        else:
            clips.append(voice)
            texts.append("")
    return SceneBlock(texts, clips)
