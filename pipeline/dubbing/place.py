"""Lines and the takes of all rounds -> what lies where on the track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.dubbing.fit import Fit, Slot, Take, choose, limit_s
from pipeline.dubbing.project import Project, plain_name
from pipeline.dubbing.takes import Line, read_takes, take_ids

# of each line that is spoken in a round, by its content, its frame limit in seconds
Round = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Placement:
    """A line on its slot. `chosen` is None where no take was made, `fault` then says why. `takes` counts
    those asked for, `run` is the round whose take was chosen."""

    line: Line
    slot: Slot
    takes: int
    chosen: tuple[Take, Fit] | None
    run: int
    fault: str | None = None

    @property
    def clip_key(self) -> str:
        name = plain_name(self.line.cue.speaker or "")
        return f"clips/{self.line.cue.number:05d}{'-' * bool(name)}{name}.flac"

    @property
    def speaker(self) -> str:
        return self.line.cue.speaker or ""

    @property
    def placed(self) -> int:
        return 0 if self.chosen is None else self.chosen[1].placed


def first_round(project: Project) -> Round:
    return {line.content: None for line in project.lines}


def again(project: Project, placements: Sequence[Placement]) -> Round:
    """The lines that are too long and may fit with other seeds, with their limits."""
    wanted = {}
    for each in placements:
        if each.chosen is not None:
            most = limit_s(*each.chosen, each.slot, project.sample_rate, project.options.stretch)
            if most is not None:
                wanted[each.line.content] = most
    return wanted


def place(project: Project, rounds: Sequence[Round]) -> list[Placement]:
    """Each line with the best of its takes. Every round has been run."""
    options = project.options
    takes: dict[str, list[Take]] = {line.content: [] for line in project.lines}
    faults: dict[str, list[str]] = {line.content: [] for line in project.lines}
    asked = dict.fromkeys(takes, 0)
    homes: dict[str, int] = {}
    for number, (spoken, count) in enumerate(
        zip(rounds, (options.takes, options.takes_again), strict=False), 1
    ):
        made, failed = read_takes(project.run_uri(number))
        for content, limit in spoken.items():
            for take_id in take_ids(content, count, limit):
                asked[content] += 1
                homes[take_id] = number
                if take_id in made:
                    takes[content].append(made[take_id])
                else:
                    faults[content].append(failed.get(take_id, "not spoken"))
    placements = []
    for line, slot in zip(project.lines, project.slots, strict=True):
        chosen = choose(takes[line.content], slot, project.sample_rate, options.stretch)
        run = 0 if chosen is None else homes[chosen[0].utterance_id]
        fault = None if chosen else "; ".join(dict.fromkeys(faults[line.content]))
        placements.append(Placement(line, slot, asked[line.content], chosen, run, fault))
    return placements
