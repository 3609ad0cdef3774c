"""Comments that other readers find, on audio that stays what it is."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline import __version__
from pipeline.audio import Waveform, encode_flac
from pipeline.provenance import comments_of, made_by, with_comments

SAMPLES = (np.sin(np.arange(5000) / 9) * 0.3).astype(np.float32)
FLAC = encode_flac(Waveform(SAMPLES, 24_000))

# RFC 9639, appendix D.2.3: a Vorbis comment block of libFLAC 1.3.3 with the one field TITLE=שלום
RFC_9639_D2 = bytes.fromhex(
    "0400003a"
    "20000000" "7265666572656e6365206c6962464c414320312e332e33203230313930383034"
    "01000000" "0e000000" "5449544c453dd7a9d79cd795d79d"
)  # fmt: skip


def test_the_example_of_the_rfc_is_read() -> None:
    stream_info = FLAC[:42]  # fLaC, a block header of 4 bytes and 34 bytes
    assert stream_info[4] & 0x7F == 0
    file = stream_info[:4] + b"\x00" + stream_info[5:42] + b"\x84" + RFC_9639_D2[1:]
    assert comments_of(file) == {"TITLE": "שלום"}


def test_libflac_reads_what_is_written() -> None:
    marked = with_comments(FLAC, {"TITLE": "Zoë said «=»", "ARTIST": "nobody", "COMMENT": "synthetic"})
    with soundfile.SoundFile(io.BytesIO(marked)) as file:
        assert (file.title, file.artist, file.comment) == ("Zoë said «=»", "nobody", "synthetic")
        assert np.array_equal(
            file.read(dtype="float32"), soundfile.read(io.BytesIO(FLAC), dtype="float32")[0]
        )


def test_the_fields_of_a_run() -> None:
    fields = made_by("model@1", "codec@2", "0123456789abcdef") | {"UTTERANCE_ID": "utt-1"}
    assert comments_of(with_comments(FLAC, fields)) == {
        "SYNTHETIC": "true",
        "GENERATOR": f"voicemill {__version__}",
        "MODEL": "model@1",
        "CODEC": "codec@2",
        "RUN": "0123456789abcdef",
        "UTTERANCE_ID": "utt-1",
    }


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_ ]{0,20}", fullmatch=True), st.text()))
def test_what_is_written_is_read_and_replaces_what_was_there(fields: dict[str, str]) -> None:
    once = with_comments(FLAC, {"OLD": "x"})
    marked = with_comments(once, fields)
    assert comments_of(marked) == fields
    assert with_comments(marked, {"OLD": "x"}) == once, "nothing piles up"
    samples, rate = soundfile.read(io.BytesIO(marked), dtype="int16")
    assert rate == 24_000
    assert np.array_equal(samples, np.round(SAMPLES * 32767).astype(np.int16))


def test_equal_clips_have_equal_bytes() -> None:
    fields = made_by("m", "c", "r")
    assert with_comments(FLAC, fields) == with_comments(FLAC, dict(fields))


@pytest.mark.parametrize("name", ["", "a=b", "naïve", "line\n", "~"])
def test_names_that_the_rfc_does_not_allow(name: str) -> None:
    with pytest.raises(ValueError, match="field name"):
        with_comments(FLAC, {name: "x"})


@pytest.mark.parametrize("data", [b"", b"RIFF", FLAC[:6], FLAC[:4]])
def test_what_is_no_flac_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="FLAC"):
        comments_of(data)


@given(st.binary(max_size=60))
def test_damaged_comments_are_a_value_error_or_read(junk: bytes) -> None:
    file = FLAC[:4] + b"\x84" + len(junk).to_bytes(3) + junk
    with suppress(ValueError):
        assert isinstance(comments_of(file), dict)
