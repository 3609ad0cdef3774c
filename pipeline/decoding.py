"""Audio that others made, decoded in a process that may die of it: see `decoding_worker`.

Audio that this project encoded itself goes through `audio.decode_audio`, in the process that wants it.
"""

from __future__ import annotations

import atexit
import functools
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

import numpy as np

from pipeline.audio import MAX_SAMPLE_RATE, Waveform
from pipeline.decoding_worker import ANSWER, FAULT, READY, REQUEST, WAVEFORM, cpu_seconds
from pipeline.errors import EngineFatalError, RowError

_MAX_WORKERS = 8
_MAX_FAULT_BYTES = 4096
_COMMAND = (sys.executable, "-P", "-m", "pipeline.decoding_worker")
_WALL_FACTOR = 10  # a busy machine lets a process wait
# what Python and its libraries need to start; no credentials, no tokens, no endpoints
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")


def decode_untrusted(data: bytes, max_duration_s: float) -> Waveform:
    """As `audio.decode_audio`, in a bounded process; callers on several threads get one each.

    Raises RowError: those of `decode_audio`, and `audio_decoder_died` for what crashes the decoder or
    goes beyond its limits. Raises EngineFatalError where no process can be started.
    """
    return _pool(os.getpid()).decode(data, max_duration_s)


class DecoderPool:
    """Up to `size` workers, started when they are needed, replaced when they die."""

    def __init__(self, size: int, command: Sequence[str] = _COMMAND) -> None:
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._size, self._command = size, command
        for _ in range(size):
            self._idle.put(None)

    def decode(self, data: bytes, max_duration_s: float) -> Waveform:
        try:
            return self._once(data, max_duration_s)
        except _WorkerKilled:
            pass  # perhaps not for this clip: the machine may have been out of memory
        except _WorkerDied as died:
            raise died.as_row_error() from None
        try:
            return self._once(data, max_duration_s)
        except _WorkerDied as died:
            raise died.as_row_error() from None

    def close(self) -> None:
        for _ in range(self._size):
            worker = self._idle.get()
            if worker is not None:
                worker.end()
            self._idle.put(None)

    def _once(self, data: bytes, max_duration_s: float) -> Waveform:
        worker = self._idle.get()
        try:
            if worker is None:
                worker = _Worker(self._command)
            try:
                return worker.decode(data, max_duration_s)
            except RowError:
                raise
            except BaseException:  # it may be in the middle of an answer
                worker.end()
                worker = None
                raise
        finally:
            self._idle.put(worker)


class _WorkerDied(Exception):
    """Says of what."""

    def as_row_error(self) -> RowError:
        return RowError("audio_decoder_died", f"it crashed its decoder ({self}); convert it to WAV")


class _WorkerKilled(_WorkerDied):
    """From outside, by the clock or by the machine."""


class _Worker:
    def __init__(self, command: Sequence[str]) -> None:
        variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        paths = [path for path in sys.path if path]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # one thread: each would reserve address space of its own
            env=variables | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"},
            # a Ctrl-C is for the parent, which then closes the pipes
            start_new_session=True,
        )
        try:
            self._read(len(READY))
        except _WorkerDied as died:
            self.end()
            raise EngineFatalError(
                f"the process that decodes audio does not start ({died}); `{' '.join(command)}` tells why"
            ) from None

    def decode(self, data: bytes, max_duration_s: float) -> Waveform:
        seconds = _WALL_FACTOR * cpu_seconds(max_duration_s)
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(data, max_duration_s)
        finally:
            timer.cancel()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _exchange(self, data: bytes, max_duration_s: float) -> Waveform:
        requests = self._process.stdin
        assert requests is not None
        try:
            requests.write(REQUEST.pack(max_duration_s, len(data)))
            requests.write(data)
            requests.flush()
        except BrokenPipeError:
            raise self._death() from None
        # the other side may be in the hands of the file: nothing it says is taken on trust
        kind, rate, size = ANSWER.unpack(self._read(ANSWER.size))
        if kind == FAULT and size <= _MAX_FAULT_BYTES:
            code, _, message = self._read(size).decode("utf-8", "replace").partition("\n")
            raise RowError(code, message)
        most = 4 * (math.ceil(max_duration_s * rate) + 1)
        if kind != WAVEFORM or not 0 < rate <= MAX_SAMPLE_RATE or size % 4 or size > most:
            raise _WorkerDied("it answered nonsense")
        return Waveform(np.frombuffer(self._read(size), "<f4").astype(np.float32), rate)

    def _read(self, size: int) -> bytes:
        answers = self._process.stdout
        assert answers is not None
        data = answers.read(size)
        if len(data) < size:
            raise self._death()
        return data

    def _death(self) -> _WorkerDied:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return _WorkerKilled("it took too long, or the machine ran out of memory")
        if code == -signal.SIGXCPU:
            return _WorkerDied("it took too much processor time")
        return _WorkerDied(signal.Signals(-code).name if code < 0 else f"exit code {code}")


@functools.lru_cache
def _pool(pid: int) -> DecoderPool:
    """One per process: pipes do not survive a fork."""
    pool = DecoderPool(min(os.cpu_count() or 1, _MAX_WORKERS))
    atexit.register(pool.close)
    return pool
