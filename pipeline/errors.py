"""Every error voicemill raises on purpose.

VoicemillError
├── ConfigError          a setting, flag or job file is wrong            exit 2
├── ManifestError        the manifest as a whole cannot be used          exit 2
├── CheckpointError      a model, codec or evaluator cannot be loaded    exit 2
├── RunConflictError     the run folder belongs to something else        exit 2
│   └── RunBusyError     another driver works on it                      exit 3
├── StorageError         a filesystem or object store failed             exit 3
├── EngineFatalError     the engine is dead: the process must be, too    exit 3
└── RowError             one row cannot be done: travels as data, never ends a run
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_NAMES_SHOWN = 5


def printable(text: str) -> str:
    """Text for a terminal or a log: characters that it would obey (escapes, bidi marks) are written out."""
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf") else ascii(c)[1:-1] for c in text
    )


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


class VoicemillError(Exception):
    """One line that says what, which row or key, and what to do."""

    exit_code = 3


class ConfigError(VoicemillError):
    exit_code = 2


class ManifestError(VoicemillError):
    exit_code = 2


class CheckpointError(VoicemillError):
    exit_code = 2


class RunConflictError(VoicemillError):
    exit_code = 2


class RunBusyError(RunConflictError):
    """Later it may be free: what starts runs tries again."""

    exit_code = 3


class StorageError(VoicemillError):
    exit_code = 3


class EngineFatalError(VoicemillError):
    exit_code = 3


class RowError(VoicemillError):
    """A fault of one row. `code` is a stable snake_case name that users can filter by."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        return type(self), (self.code, self.message)


def worker_error(text: str) -> VoicemillError:
    """What a worker raised, from the traceback that is all Ray keeps of it: our own errors as they were."""
    found = re.findall(r"^(?:pipeline\.\w+\.)(\w+): (.+)$", text, re.MULTILINE)
    if found:
        name, message = found[-1]
        kinds = (CheckpointError, ConfigError, EngineFatalError, RunConflictError, StorageError)
        return {kind.__name__: kind for kind in kinds}.get(name, StorageError)(message)
    others = re.findall(r"^(\w+(?:Error|Exception|Interrupt)): (.+)$", text, re.MULTILINE)
    said = ": ".join(others[-1]) if others else text.strip().splitlines()[-1]
    return EngineFatalError(f"a worker failed ({said[:300]}); run the same command again to go on")
