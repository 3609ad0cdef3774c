"""By hand, and read back by the libraries themselves; what they would drop or misread must be refused."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, ManifestError
from pipeline.programme.subtitles import MAX_BYTES, Cue, read_subtitles, speaker_of, subtitles_bytes

VTT = """\
WEBVTT - a title

STYLE
::cue { color: red }

NOTE said by nobody

intro-1
00:01.000 --> 00:02.500 align:start
<v.loud Anna Maria>Hello <i>there</i> &amp; you</v>

5
01:00:05.000 --> 01:00:06.000
In the year
1984
"""
SRT = """\
1
00:00:01,000 --> 00:00:02,000
<font color="red">[ANNA] Hi</font> {\\an8}there

2
00:00:02,000 --> 00:00:03,500
In the year
1984

3
00:00:03,500 --> 00:00:04,000

4
00:00:04,000 --> 00:00:05,000 X1:0
before a blank line

and behind it

00:00:05,000 --> 00:00:06,000
BEN: no counter above
42
"""
ASS = """\
[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1
Style: Carl,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,said by nobody
Dialogue: 0,0:00:03.00,0:00:04.50,Default,Anna,0,0,0,,{\\i1}Well{\\i0}, yes,\\Nof course
Dialogue: 0,0:00:01.00,0:00:02.00,Carl,,0,0,0,,By his style
Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 100{\\p0}
Dialogue: 0,0:00:07.00,0:00:08.00,Default,,0,0,0,,DORA: by her tag
"""


def test_webvtt():
    assert read_subtitles(VTT.encode(), "film.vtt") == [
        Cue(1.0, 2.5, "Hello there & you", "Anna Maria"),
        Cue(3605.0, 3606.0, "In the year\n1984"),
    ]


def test_subrip():
    assert read_subtitles(SRT.encode(), "film.SRT") == [
        Cue(1.0, 2.0, "Hi there", "ANNA"),
        Cue(2.0, 3.5, "In the year\n1984"),
        Cue(3.5, 4.0, ""),
        Cue(4.0, 5.0, "before a blank line\nand behind it"),
        Cue(5.0, 6.0, "no counter above\n42", "BEN"),
    ]


@pytest.mark.parametrize(
    ("counters", "numbers"),
    [
        ("7 8 12", [7, 8, 12]),
        ("0 1 2", [0, 1, 2]),
        ("1 2 2", [1, 2, 3]),  # of two files
        ("1 - -", [1, 2, 3]),
    ],
)
def test_cues_keep_the_numbers_of_the_file(counters, numbers):
    srt = "".join(
        f"{'' if counter == '-' else counter}\n00:00:0{at},000 --> 00:00:0{at},900\n{'Hi' * (at != 2)}\n\n"
        for at, counter in enumerate(counters.split(), start=1)
    )
    cues = read_subtitles(srt.encode(), "a.srt")
    assert [(cue.number, cue.text) for cue in cues] == [*zip(numbers, ["Hi", "", "Hi"], strict=True)]
    later = [Cue(5.0, 6.0, "b", number=9), Cue(1.0, 2.0, "a\nc", number=7)]
    assert subtitles_bytes(later, "srt").decode() == (
        "7\n00:00:01,000 --> 00:00:02,000\na\nc\n\n9\n00:00:05,000 --> 00:00:06,000\nb\n"
    )


def test_substation():
    assert read_subtitles(ASS.encode(), "film.ass") == [
        Cue(1.0, 2.0, "By his style", "Carl"),
        Cue(3.0, 4.5, "Well, yes,\nof course", "Anna"),
        Cue(7.0, 8.0, "by her tag", "DORA"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_what_editors_save(encoding, line_end):
    text = "1\n00:00:01,000 --> 00:00:02,000\nGrüße\naus Łódź\n".replace("\n", line_end)
    assert read_subtitles(text.encode(encoding), "a.srt") == [Cue(1.0, 2.0, "Grüße\naus Łódź")]


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("", "a.srt", "a.srt: holds no cue"),
        ("hello", "a.srt", "holds no cue"),
        ("hello", "a.vtt", "not WebVTT"),
        ("hello", "a.ass", "holds no cue"),
        ("hello", "a.txt", "no subtitle file by its name"),
        ("1\n00:00:01,000 --> 00:00:0x,000\nHi", "a.srt", "line 2 cannot be read"),
        ("1\n00:00:01,000 -> 00:00:02,000\nHi", "a.srt", "line 2 cannot be read"),
        ("1\n00:00:01,000 --> 00:00:02,000\n00:00:03,000 to 00:00:04,000", "a.srt", "line 3 cannot"),
        ("1\n100:00:01,000 --> 100:00:02,000\nHi", "a.srt", "line 2 cannot be read"),
        ("WEBVTT\n\n00:01.000 --> 00:0x.000\nHi", "a.vtt", "line 3 cannot be read"),
        ("[Events]\nDialogue: 0,0:00:03.00,0:00:04.50,Default", "a.ass", "line 2 cannot be read"),
        ("[Events]\nDialogue: 0,0:00:0x.00,0:00:04.50,Default,,0,0,0,,Hi", "a.ass", "not ASS"),
        ("1\n00:00:03,000 --> 00:00:02,000\nHi", "a.srt", "cue 1 runs from 3.000 to 2.000 s"),
        (
            "1\n00:00:01,000 --> 00:00:02,000\nANNA: Hi\nBEN: Ho",
            "a.srt",
            "cue 1 at 1.000 s has several speakers (ANNA, BEN)",
        ),
        ("1\n00:00:01,000 --> 00:00:02,000\n- Hi\n- Ho", "a.srt", "several speakers (lines that begin with"),
        ("1\n00:00:01,000 --> 00:00:02,000\n-Hi\n-Ho", "a.srt", "several speakers"),
        ("1\n00:00:01,000 --> 00:00:02,000\n- ANNA: Hi\n- Ho", "a.srt", "several speakers"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n<v A>- Hi\n- Ho", "a.vtt", "several speakers"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n<v A>Hi</v>\n<v B>Ho", "a.vtt", "several speakers (A, B)"),
    ],
)
def test_what_cannot_be_read_is_refused(text, name, said):
    with pytest.raises(ManifestError, match=re.escape(said)) as caught:
        read_subtitles(text.encode(), name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said", "speaker"),
    [
        ("- Hello.", "Hello.", None),
        ("-Hello.", "Hello.", None),
        ("– ANNA: Hello.", "Hello.", "ANNA"),
        ("- Hello\nthere.", "Hello\nthere.", None),
        ("- ANNA: Hello\n- ANNA: there.", "Hello\nthere.", "ANNA"),
        ("-5 degrees", "-5 degrees", None),
        ("He came\n- and left.", "He came\n- and left.", None),
    ],
)
def test_the_dash_of_one_who_speaks_is_not_text(text, said, speaker):
    srt = f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n"
    assert read_subtitles(srt.encode(), "a.srt") == [Cue(1.0, 2.0, said, speaker)]


def test_bytes_that_are_no_text_and_too_many():
    with pytest.raises(ManifestError, match="byte 0 is not UTF-8"):
        read_subtitles(b"\xe9\xe8", "a.srt")
    with pytest.raises(ManifestError, match="split it"):
        read_subtitles(bytes(MAX_BYTES + 1), "a.srt")
    cues = "".join("00:00:01,000 --> 00:00:02,000\nHi\n\n" for _ in range(20_001))
    with pytest.raises(ManifestError, match="20001 cues, at most 20000"):
        read_subtitles(cues.encode(), "a.srt")


@pytest.mark.parametrize("filler", ["<a", "{\\a", "\n", "[", "\n7", "<v ", " ", "{"])
@pytest.mark.parametrize("name", ["a.srt", "a.vtt", "a.ass"])
def test_a_file_made_to_be_slow_is_not(filler, name):
    body = filler * 200_000
    text = {
        "a.srt": f"1\n00:00:01,000 --> 00:00:02,000\nHi\n{body}",
        "a.vtt": f"WEBVTT\n\n00:01.000 --> 00:02.000\nHi\n{body}",
        "a.ass": "[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Hi" + body.replace("\n", "n"),
    }[name]
    began = time.process_time()
    with suppress(ManifestError):
        read_subtitles(text.encode(), name)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[ANNA] Hi", ("ANNA", "Hi")),
        ("- ANNA MARIA: Hi", ("ANNA MARIA", "Hi")),
        ("DR. O'NEIL-2: Hi", ("DR. O'NEIL-2", "Hi")),
        ("ŁUKASZ: Hi", ("ŁUKASZ", "Hi")),
        ("ANNA (whispering): Hi", ("ANNA", "Hi")),
        ("— ANNA (V.O.): Hi", ("ANNA", "Hi")),
        ("[ANNA (off)] Hi", ("ANNA", "Hi")),
        ("(whispering): Hi", (None, "(whispering): Hi")),
        ("[laugh] Hi", (None, "[laugh] Hi")),
        ("Look: a bird", (None, "Look: a bird")),
        ("10:30 is late", (None, "10:30 is late")),
        ("HTTP://example.org", (None, "HTTP://example.org")),
        ("[MUSIC]", (None, "[MUSIC]")),
    ],
)
def test_speaker_tags(text, expected):
    assert speaker_of(text) == expected


words = st.text(st.sampled_from("abcXYZéß漢字 .,!?'&5"), min_size=1, max_size=30).filter(
    lambda text: any(map(str.isalpha, text))
)
texts = st.lists(words.map(str.strip), min_size=1, max_size=3).map("\n".join)
cues = st.builds(
    lambda start, length, text, speaker: Cue(start / 100, (start + length) / 100, text, speaker),
    st.integers(0, 3_000_000),
    st.integers(0, 100_000),
    texts,
    st.one_of(st.none(), st.sampled_from(["Anna", "Ben & Söhne", "C. D."])),
)


@given(st.lists(cues, min_size=1, max_size=20), st.sampled_from(["srt", "vtt", "ass", "ssa"]))
def test_what_is_written_is_read(given_cues, format):
    back = read_subtitles(subtitles_bytes(given_cues, format), f"a.{format}")
    expected = [cue if format != "srt" else Cue(cue.start_s, cue.end_s, cue.text) for cue in given_cues]
    key = lambda cue: (cue.start_s, cue.end_s, cue.text, cue.speaker or "")  # noqa: E731
    assert sorted(back, key=key) == sorted(expected, key=key)


def test_the_libraries_read_what_is_written():
    lines = [Cue(0.5, 1.2344, "a {b} & c --> d\n\n2"), Cue(2.0, 3.0, "1 < 2", "Anna, B")]
    first, second = pysubs2.SSAFile.from_string(subtitles_bytes(lines, "srt").decode())
    assert (first.start, first.end, first.text) == (500, 1234, "a {b} & c -> d\\N2")
    assert (second.start, second.end, second.text) == (2000, 3000, "1 < 2")
    one, two = webvtt.from_string(subtitles_bytes(lines, "vtt").decode(), strict=True).captions
    assert (one.start, one.end, one.text) == ("00:00:00.500", "00:00:01.234", "a {b} &amp; c --&gt; d\n2")
    assert (two.voice, two.text) == ("Anna, B", "1 &lt; 2")
    one, two = pysubs2.SSAFile.from_string(subtitles_bytes(lines, "ass").decode())
    assert (one.end, one.plaintext, two.name) == (1230, "a (b) & c -> d\n2", "Anna; B")


def test_a_format_that_cannot_say_it():
    with pytest.raises(ConfigError, match="use vtt"):
        subtitles_bytes([Cue(0, 360_000, "Hi")], "srt")
    with pytest.raises(ConfigError, match="not known"):
        subtitles_bytes([Cue(0, 1, "Hi")], "sbv")
