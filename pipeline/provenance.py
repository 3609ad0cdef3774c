"""Who made a clip, written into the clip: Vorbis comments of a FLAC file (RFC 9639, section 8.6).

libsndfile, which encodes here, writes a fixed set of fields only; readers of tags see these as any others.
The samples, and the hashes over codes, stay what they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from pipeline import __version__

_MAGIC = b"fLaC"
_VORBIS_COMMENT = 4
_LAST = 0x80
_MAX_BLOCK_BYTES = 2**24 - 1
_FIELD_NAME = re.compile(r"[\x20-\x3c\x3e-\x7d]+")  # RFC 9639: printable ASCII but `=` and `~`
VENDOR = f"voicemill {__version__}"


def made_by(model: str, codec: str, run: str) -> dict[str, str]:
    """The fields that all clips of a run share. `run` is its fingerprint."""
    return {"SYNTHETIC": "true", "GENERATOR": VENDOR, "MODEL": model, "CODEC": codec, "RUN": run}


def with_comments(flac: bytes, comments: Mapping[str, str]) -> bytes:
    """The file with these fields instead of those it has; audio frames are copied byte for byte.

    Raises ValueError for what is no FLAC file, no field name, or above 16 MiB.
    """
    blocks, frames = _parse(flac)
    kept = [(kind, body) for kind, body in blocks if kind != _VORBIS_COMMENT]
    kept.insert(1, (_VORBIS_COMMENT, _comment_block(comments)))  # the first must be STREAMINFO
    last = len(kept) - 1
    headers = ((_LAST if i == last else 0) | kind for i, (kind, _) in enumerate(kept))
    return _MAGIC + b"".join(_block(h, body) for h, (_, body) in zip(headers, kept, strict=True)) + frames


def comments_of(flac: bytes) -> dict[str, str]:
    """Fields by name, in capitals (their case does not matter); {} for a file without any.

    Raises ValueError for what is no FLAC file or is damaged.
    """
    for kind, body in _parse(flac)[0]:
        if kind == _VORBIS_COMMENT:
            return _read_comments(body)
    return {}


def _parse(flac: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Metadata blocks as (kind, body), and all that follows them."""
    blocks: list[tuple[int, bytes]] = []
    at, header = len(_MAGIC), 0
    if flac[:at] != _MAGIC:
        raise ValueError("no FLAC file: it does not begin with fLaC")
    while not header & _LAST:
        if len(flac) < at + 4:
            raise ValueError("a FLAC file that ends in its metadata")
        header, size = flac[at], int.from_bytes(flac[at + 1 : at + 4])
        blocks.append((header & ~_LAST, flac[at + 4 : at + 4 + size]))
        at += 4 + size
    return blocks, flac[at:]


def _block(header: int, body: bytes) -> bytes:
    if len(body) > _MAX_BLOCK_BYTES:
        raise ValueError(f"{len(body)} bytes of comments, FLAC holds {_MAX_BLOCK_BYTES}")
    return bytes([header]) + len(body).to_bytes(3) + body


def _comment_block(comments: Mapping[str, str]) -> bytes:
    for name in comments:
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no field name of a Vorbis comment")
    fields = [VENDOR, *(f"{name}={value}" for name, value in comments.items())]
    vendor, *rest = (struct.pack("<I", len(text)) + text for text in (f.encode() for f in fields))
    return vendor + struct.pack("<I", len(rest)) + b"".join(rest)


def _read_comments(body: bytes) -> dict[str, str]:
    try:
        (size,) = struct.unpack_from("<I", body)
        (count,) = struct.unpack_from("<I", body, 4 + size)
        at, found = 8 + size, {}
        for _ in range(count):
            (size,) = struct.unpack_from("<I", body, at)
            name, _, value = body[at + 4 : at + 4 + size].decode().partition("=")
            found[name.upper()] = value
            at += 4 + size
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError("a damaged Vorbis comment") from error
    return found
