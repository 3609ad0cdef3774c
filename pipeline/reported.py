"""How a program ends: its exit code, and one line on stderr instead of a traceback."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from pipeline.errors import VoicemillError, printable
from pipeline.interrupts import EXIT_CODE, Interrupts

err_console = Console(stderr=True)
_STOPPED = "stopped; the same command resumes from here"


def reported(work: Callable[[], int], debug: bool | None = None) -> int:
    """`work`'s exit code. What it raises becomes one line on stderr and the code of its kind.

    `debug`: whether it is raised instead; None where the program has no such option.
    """
    with Interrupts() as interrupts:
        try:
            return work()
        except KeyboardInterrupt:
            _complain(_STOPPED)
            return EXIT_CODE
        except Exception as error:
            if interrupts.happened:  # whatever the interrupt broke on its way
                _complain(_STOPPED)
                return EXIT_CODE
            if debug:
                raise
            if isinstance(error, VoicemillError):
                _complain(str(error))
                return error.exit_code
            said = " ".join(str(error).split())[:300]
            advice = "" if debug is None else " (--debug: traceback)"
            _complain(f"broke off: {type(error).__name__}: {said}; the same command resumes{advice}")
            return 3


def _complain(said: str) -> None:
    text = f"voicemill: {printable(said)}"
    err_console.print(text, style="red", highlight=False, soft_wrap=True, markup=False)
