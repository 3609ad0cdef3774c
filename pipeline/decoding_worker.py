"""The process that decodes audio from outside: `python -m pipeline.decoding_worker`, over its pipes.

What a damaged or hostile file does to a decoder, it does here: the process has limits on memory and
processor time, no credentials in its environment, writes no files, and is replaced when it dies.
"""

from __future__ import annotations

import math
import os
import resource
import struct
import sys
import time
from pathlib import Path
from typing import BinaryIO

from pipeline.audio import decode_audio
from pipeline.errors import RowError

REQUEST = struct.Struct("<dQ")  # longest duration in seconds, bytes of the file behind it
ANSWER = struct.Struct("<cIQ")  # WAVEFORM or FAULT, sample rate in Hz, bytes behind it
READY, WAVEFORM, FAULT = b"R", b"W", b"F"
MEMORY_BYTES = 2 * 2**30  # over what the process has when it starts


def cpu_seconds(max_duration_s: float) -> int:
    """Of one clip: some thousand times what a libsndfile codec takes for a clip of that length."""
    return 20 + math.ceil(max_duration_s / 20)


def main() -> None:
    # what a library prints must not land among the answers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold somebody's voice
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    answers.write(READY)
    answers.flush()
    while _serve(sys.stdin.buffer, answers):
        pass


def _serve(requests: BinaryIO, answers: BinaryIO) -> bool:
    """One clip; False at the end of the requests."""
    head = requests.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return False
    max_duration_s, size = REQUEST.unpack(head)
    data = requests.read(size)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    spent = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (spent + cpu_seconds(max_duration_s), hard))
    try:
        waveform = decode_audio(data, max_duration_s=max_duration_s)
        kind, rate, said = WAVEFORM, waveform.sample_rate, waveform.samples.astype("<f4").tobytes()
    except RowError as error:
        kind, rate, said = FAULT, 0, f"{error.code}\n{error.message}".encode()
    except MemoryError:
        kind, rate = FAULT, 0
        said = f"audio_decoder_died\nit needs more than {MEMORY_BYTES >> 20} MiB to decode".encode()
    answers.write(ANSWER.pack(kind, rate, len(said)))
    answers.write(said)
    answers.flush()
    return True


def _limit_memory() -> None:
    """Linux alone counts and bounds the address space."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
