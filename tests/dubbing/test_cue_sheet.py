"""By hand."""

from __future__ import annotations

import re

import pytest

from pipeline.dubbing.cue_sheet import columns_from, read_cue_sheet
from pipeline.errors import ConfigError, ManifestError
from pipeline.programme.subtitles import Cue

PLAIN = columns_from([])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_of_any_name_and_delimiter(delimiter):
    text = '\ufeffTC In|TC Out|Character|Dialogue|Note\r\n0:00:02.5|0:00:04|Ben|"Well; yes, ""you"""|x\r\n'
    text += "1|2,0|Anna|Hi|\r\n5|6|Anna||silent\r\n"
    if delimiter == ",":
        text = text.replace("2,0", '"2,0"')
    data = text.replace("|", delimiter).encode()
    columns = columns_from(
        ["start=TC In", "end = TC Out".replace(" = ", "="), "text=Dialogue", "speaker=Character"]
    )
    assert read_cue_sheet(data, "cues.csv", columns) == [
        Cue(1.0, 2.0, "Hi", "Anna"),
        Cue(2.5, 4.0, 'Well; yes, "you"', "Ben"),
        Cue(5.0, 6.0, "", "Anna"),
    ]


def test_speakers_need_not_be_there():
    assert read_cue_sheet(b"start,end,text\n1,2,Hi\n", "cues.csv", PLAIN) == [Cue(1.0, 2.0, "Hi")]
    tagged = b"start,end,text\n1,2,- ANNA (off): Hi\n"
    assert read_cue_sheet(tagged, "cues.csv", PLAIN) == [Cue(1.0, 2.0, "Hi", "ANNA")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no column start, end, text; found none"),
        (b"start,stop,text\n1,2,Hi", "no column end; found start, stop, text: name it with --column"),
        (b"start,end,text\n1,2,Hi\n1,soon,Ho", "line 3: 'soon' is no time"),
        (b"start,end,text\n1,,Hi", "line 2: '' is no time"),
        (b'start,end,text\n1,2,"Hi', "unexpected end of data"),
        (b"start,end,text\n2,1,Hi", "runs from 2.000 to 1.000 s"),
        (b"start,end,text\n", "holds no cue"),
        (b"\xff\xff,", "not UTF-8"),
    ],
)
def test_what_cannot_be_read(data, said):
    with pytest.raises(ManifestError, match=re.escape(said)):
        read_cue_sheet(data, "cues.csv", PLAIN)


def test_a_speakers_column_that_was_named_must_be_there():
    columns = columns_from(["speaker=Charakter"])
    with pytest.raises(ManifestError, match="no column Charakter; found start, end, text, Character"):
        read_cue_sheet(b"start,end,text,Character\n1,2,Hi,Anna\n", "cues.csv", columns)


@pytest.mark.parametrize("given", ["text", "words=Dialogue", "text="])
def test_maps_that_mean_nothing(given):
    with pytest.raises(ConfigError, match="write FIELD=COLUMN"):
        columns_from([given])
