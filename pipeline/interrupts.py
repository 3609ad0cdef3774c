"""Ctrl-C and SIGTERM: the first stops the work, those that follow while it stops change nothing.

SIGTERM is what a scheduler sends before it takes the machine back. Signals come in twos and threes:
impatient people, and `uv run`, which passes on what the terminal has sent to the whole process group
already. Each would cut the clean end short with a traceback.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from types import FrameType

_PATIENCE_S = 5.0  # after which one more ends the process, whatever it is doing
EXIT_CODE = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """`with Interrupts() as interrupts:` in the main thread; `happened` tells whether one came."""

    def __init__(self) -> None:
        self._first_at: float | None = None

    @property
    def happened(self) -> bool:
        return self._first_at is not None

    def __enter__(self) -> Interrupts:
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:
            self._stderr = os.dup(2)  # while Ray starts, the other one leads nowhere
            self._before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        if not self._in_main_thread:
            return
        for number, before in self._before.items():
            if self.happened:
                # the process is ending: Python would give SIGINT back its deadly default too early
                atexit.register(signal.signal, number, signal.SIG_IGN)
            else:
                signal.signal(number, before)
        if not self.happened:
            os.close(self._stderr)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._first_at is None:
            self._first_at = time.monotonic()
            os.write(self._stderr, b"voicemill: stopping\n")  # print may be in the middle of a line
            raise KeyboardInterrupt
        if time.monotonic() - self._first_at > _PATIENCE_S:
            os._exit(EXIT_CODE)
