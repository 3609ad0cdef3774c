"""The manifest reader: formats, headers, faults by row, streaming."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ManifestError, RowError
from pipeline.manifest import FIELDS, ManifestReader, ManifestRow, read_manifest
from pipeline.manifest_columns import map_columns
from pipeline.results import result_schema
from pipeline.stages.check_prompt import check_prompt
from pipeline.stages.check_request import RequestChecker

MANIFESTS = Path(__file__).parents[1] / "manifests"


def reader(data: bytes | str, name: str = "m.csv", **options: Any) -> ManifestReader:
    raw = data.encode() if isinstance(data, str) else data
    return read_manifest(io.BytesIO(raw), name, **options)


def rows(data: bytes | str, name: str = "m.csv", **options: Any) -> list[ManifestRow]:
    return list(reader(data, name, **options))


def codes(found: list[ManifestRow]) -> list[list[str]]:
    return [[fault.code for fault in row.faults] for row in found]


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


ROW = {"id": "a-1", "ref": "v/a.wav", "text": 'Zażółć; gęślą, "jaźń"'}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_csv_dialects(delimiter: str, newline: str, mark: bytes) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline)
    writer.writerows([ROW.keys(), ROW.values()])
    assert rows(mark + text.getvalue().encode()) == [ManifestRow(1, ROW)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_jsonl_keeps_types_and_drops_nulls(mark: bytes) -> None:
    record = {**ROW, "seed": 7, "top_p": 0.5, "scene": None}
    data = mark + json.dumps(record).encode() + b"\n\n" + json.dumps(ROW).encode()
    assert rows(data, "m.jsonl") == [ManifestRow(1, {**ROW, "seed": 7, "top_p": 0.5}), ManifestRow(2, ROW)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_strings(kind: pa.DataType) -> None:
    names = list(ROW)
    table = pa.table([pa.array([ROW[name], ROW[name]], kind) for name in names], names)
    table = table.append_column("seed", pa.array([None, 3]))
    assert rows(parquet(table), "m.parquet") == [ManifestRow(1, ROW), ManifestRow(2, {**ROW, "seed": 3})]


def test_parquet_string_that_is_not_utf8_is_a_fault_of_its_row() -> None:
    raw = pa.array([b"fine", b"caf\xe9"])
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())  # Arrow does not look
    found = rows(parquet(pa.table({"ref": ["a", "b"], "text": text})), "m.parquet")
    assert codes(found) == [[], ["bad_encoding"]]
    assert found[1].values["text"].isascii()


@pytest.mark.parametrize(
    ("line", "values"),
    [
        # the forms of seed-tts-eval's get_wav_res_ref_text.py
        (
            "u1|Prompt.|p/1.wav|Say this.",
            {"id": "u1", "ref_text": "Prompt.", "ref": "p/1.wav", "text": "Say this."},
        ),
        (
            "u1|Prompt.|p/1.wav|Say this.|w/1.wav",
            {
                "id": "u1",
                "ref_text": "Prompt.",
                "ref": "p/1.wav",
                "text": "Say this.",
                "ground_truth": "w/1.wav",
            },
        ),
        ("u1.wav|Say this.|p/1.wav", {"id": "u1", "text": "Say this.", "ref": "p/1.wav"}),
        ("u1|Say this.", {"id": "u1", "text": "Say this."}),
    ],
)
def test_meta_lst_forms(line: str, values: dict[str, str]) -> None:
    assert rows(line + "\n", "meta.lst") == [ManifestRow(1, values)]


def test_recordings_of_a_meta_lst_are_what_is_scored_where_audio_is() -> None:
    [row] = rows("u1|Prompt.|p/1.wav|Say this.|w/1.wav\n", "meta.lst", required=("audio", "text"))
    assert row.values["audio"] == "w/1.wav"
    assert "ground_truth" not in row.values


def test_a_text_of_the_ground_truth_is_no_misspelt_recording() -> None:
    ignored = ["m.csv: column 'ground_truth_text' is not read"]
    assert reader("ref,text,ground_truth_text\n").warnings == ignored
    with pytest.raises(ManifestError, match="did you mean 'ground_truth'"):
        reader("ref,text,groundtruth\n")


def test_meta_lst_fault_is_one_row() -> None:
    assert codes(rows("a|b\na|b|c|d|e|f\nalone\na|b\n", "meta.lst")) == [[], ["bad_row"], ["bad_row"], []]


def test_format_argument_beats_suffix() -> None:
    assert rows('{"ref": "a", "text": "b"}', "m.csv", format="jsonl")[0].values == {"ref": "a", "text": "b"}
    with pytest.raises(ManifestError, match=r"'\.xlsx'; name one of csv, jsonl, lst, parquet"):
        reader("ref,text\n", "m.xlsx")
    with pytest.raises(ManifestError, match="unknown format 'xml'"):
        reader("ref,text\n", "m.csv", format="xml")


_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS), max_size=8), st.sampled_from([",", ";", "\t"]))
def test_csv_round_trip(written: list[tuple[str, str, str]], delimiter: str) -> None:
    """Whatever Python's csv module writes is read back, quotes, newlines and all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "ref", "text"])
    writer.writerows(written)
    found = rows(text.getvalue())
    assert [tuple(row.values.values()) for row in found] == written
    assert [row.row for row in found] == list(range(1, len(written) + 1))
    assert not any(row.faults for row in found)


@given(st.binary(max_size=200), st.sampled_from(["csv", "jsonl", "lst", "parquet"]))
def test_no_bytes_raise_anything_but_manifest_error(data: bytes, format: str) -> None:
    head = b"ref,text\n" if format == "csv" else b""
    try:
        found = rows(head + data, "m", format=format)
    except ManifestError:
        return
    for row in found:
        json.dumps(row.values, ensure_ascii=False).encode("utf-8")  # a report must be able to show it


@pytest.mark.parametrize(
    ("header", "field"),
    [(alias, field) for field, aliases in FIELDS.items() for alias in (field, *aliases)],
)
def test_every_alias_in_any_case(header: str, field: str) -> None:
    assert map_columns((header,)).fields == (field,)
    assert map_columns((f" {header.upper().replace('_', ' ')} ",)).fields == (field,)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty, or its first line is blank"),
        (b"\xef\xbb\xbf", "empty"),
        ("ref,text\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("ref,text\n".encode("utf-16-be"), "not UTF-8 text"),
        ("ref,text,caf\xe9\n".encode("latin-1"), "not UTF-8 text; save the manifest as UTF-8"),
        ("ref,text,temprature\n", "'temprature'; did you mean 'temperature'[?] Rename or drop it."),
        ("ref,text,duration_ms\n", "did you mean 'duration"),
        ("ref,text,transcript\n", "did you mean 'ref_transcript'"),
        ("ref,text,ref_audio\n", "'ref' and 'ref_audio' both mean 'ref'. Keep one of them."),
        ("ref,text,text\n", "both mean 'text'"),
        ("id,text\n", r"no column 'ref' \(or ref_audio, .*; found 'id', 'text'"),
        ("a|b\n", r"no column 'ref' .* and 'text' .*; found 'a\|b'"),
        ('ref,"text\n', "not CSV"),
        ("ref\rtext\r", "not CSV"),
    ],
)
def test_header_faults(data: bytes | str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        reader(data)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("m.csv: ")


def test_header_only_is_zero_rows() -> None:
    assert rows("ref,text\n") == []
    assert (
        rows(parquet(pa.table({"ref": pa.array([], pa.string()), "text": pa.array([], pa.string())})), "m.pq")
        == []
    )


@pytest.mark.parametrize("name", ["m.jsonl", "meta.lst", "m.parquet"])
def test_empty_file(name: str) -> None:
    with pytest.raises(ManifestError, match=r"empty|size is 0 bytes"):
        reader(b"", name)


def test_json_array_is_told() -> None:
    with pytest.raises(ManifestError, match="one object per line"):
        reader('[{"ref": "a", "text": "b"}]', "m.json")


def test_columns_that_are_not_read_are_warned_of_once() -> None:
    found = reader("ref,text,speed,gender,\na,b,1,f,\nc,d,1,m,\n")
    assert [row.values for row in found] == [{"ref": "a", "text": "b"}, {"ref": "c", "text": "d"}]
    assert found.warnings == [f"m.csv: column '{name}' is not read" for name in ("speed", "gender", "")]
    lines = reader('{"ref": "a", "text": "b", "x": 1}\n' * 3 + '{"ref": "a", "text": "b", "y": 1}', "m.jsonl")
    list(lines)
    assert len(lines.warnings) == 2


def test_a_near_miss_of_a_field_that_is_there_is_no_misspelling() -> None:
    # Common Voice has both
    assert reader("ref,sentence,sentence_id\n").warnings == ["m.csv: column 'sentence_id' is not read"]


def test_required_columns_can_be_others() -> None:
    assert rows("audio_path,text\na.wav,b\n", required=("audio", "text"))[0].values["audio"] == "a.wav"


def test_parquet_with_audio_inside_is_refused() -> None:
    table = pa.table({"ref": [{"bytes": b"RIFF", "path": "a.wav"}], "text": ["b"]})
    with pytest.raises(ManifestError, match=r"column 'ref' is struct.*path or URI"):
        reader(parquet(table), "m.parquet")


# ---- faults by row

GOOD = b"good.wav,fine\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"one cell\n", "bad_row"),
        (b"three,cells,here\n", "bad_row"),
        (b"nul\0,text\n", "bad_row"),
        (b'a,"quote"after\n', "bad_row"),
        (b"bare\rreturn,text\n", "bad_row"),
        (b"a,caf\xe9\n", "bad_encoding"),
        (b"a," + b"x" * 140_000 + b"\n", "bad_row"),
        (b"a," + b"x" * (3 << 20) + b"\n", "bad_row"),
    ],
)
def test_a_bad_csv_row_is_told_and_its_neighbours_are_read(line: bytes, code: str) -> None:
    found = rows(b"ref,text\n" + GOOD + line + GOOD)
    assert codes(found) == [[], [code], []]
    assert [row.row for row in found] == [1, 2, 3]
    assert found[2].values == {"ref": "good.wav", "text": "fine"}


def test_an_open_quote_says_which_lines_it_took() -> None:
    found = rows(b'ref,text\na,"open\n' + GOOD + b'b,"closed"\n' + GOOD)
    assert codes(found) == [["bad_row"], []]
    assert "lines 2 to 4" in found[0].faults[0].message
    assert codes(rows(b'ref,text\na,"open to the end\n')) == [["bad_row"]]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{not json}", "bad_json"),
        (b"42", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"ref": "a", "text": "b", "temprature": 1}', "unknown_field"),
        (b'{"ref": "a", "text": "b", "sentence": "c"}', "duplicate_field"),
        (b'{"ref": "a", "text": "caf\xe9"}', "bad_encoding"),
        (b'{"ref": "a", "text": "\\ud800"}', "bad_encoding"),
        (b'{"ref": ["a"], "text": "b"}', "bad_ref"),
        (b'{"ref": "a", "text": "' + b"x" * (2 << 20) + b'"}', "bad_row"),
    ],
)
def test_a_bad_json_line_is_told_and_its_neighbours_are_read(line: bytes, code: str) -> None:
    good = b'{"ref": "a", "text": "b"}\n'
    assert codes(rows(good + line + b"\n" + good, "m.jsonl")) == [[], [code], []]


# ---- everything at once, and the files beside this package


def first_fault(folder: Path, row: ManifestRow, checker: RequestChecker) -> str | None:
    """What a run would do, with a plain open() in storage's place."""
    checked = checker.check(row)
    if checked.faults:
        assert len(checked.faults) == 1, checked.faults
        return checked.faults[0].code
    assert checked.request is not None
    path = folder / str(checked.request.prompt_audio)
    if not path.exists():
        return "uri_not_found"
    try:
        found = check_prompt(path.read_bytes()).faults
    except RowError as error:
        return error.code
    assert len(found) <= 1, found
    return found[0].code if found else None


def test_every_fault_of_the_fault_manifest(tmp_path: Path) -> None:
    from manifest_faults import build_fault_manifest

    path, expected = build_fault_manifest(tmp_path)
    checker = RequestChecker()
    with path.open("rb") as file:
        found = {row.row: first_fault(tmp_path, row, checker) for row in read_manifest(file, str(path))}
    assert found == expected
    assert len(set(expected.values()) - {None}) >= 24
    assert list(expected.values()).count(None) >= 3


def test_the_demo_manifest_has_one_bad_row_and_says_so() -> None:
    checker = RequestChecker()
    with (MANIFESTS / "demo.csv").open("rb") as file:
        found = {
            str(row.values["id"]): first_fault(MANIFESTS, row, checker)
            for row in read_manifest(file, "demo.csv")
        }
    assert len(found) >= 13
    assert {name: code for name, code in found.items() if code} == {"broken-on-purpose": "uri_not_found"}


def test_the_voices_are_what_voices_csv_says() -> None:
    with (MANIFESTS / "voices" / "voices.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["file"] for row in table} == {path.name for path in (MANIFESTS / "voices").glob("*.flac")}
    for row in table:
        checked = check_prompt((MANIFESTS / "voices" / row["file"]).read_bytes())
        assert not checked.faults
        assert checked.sample_rate == 16_000
        assert 3 <= checked.duration_s <= 6


def test_the_field_dictionary_is_complete() -> None:
    text = (MANIFESTS / "README.md").read_text()
    told = set(re.findall(r"`([^`\s]+)`", text))
    names = {name for field, aliases in FIELDS.items() for name in (field, *aliases)}
    sources = "".join(path.read_text() for path in (MANIFESTS.parent / "pipeline").rglob("*.py"))
    raised = set(re.findall(r"\b(?:RowError|Fault)\(\s*\"([a-z_]+)\"", sources))
    raised |= {f"bad_{name}" for name in FIELDS}
    assert len(raised) > 30
    assert names - told == set()
    assert raised - told == set()


def test_the_result_columns_told_are_those_of_the_schema() -> None:
    section = (MANIFESTS / "README.md").read_text().partition("## Result columns")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    told = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(told) == sorted(result_schema().names)
