"""Row checks: a table of one case per fault, and what holds of every row."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import re
import sys
import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.manifest import FIELDS, Fault, ManifestRow, read_manifest
from pipeline.records import REQUEST, SynthesisRequest, to_table
from pipeline.stages.check_request import (
    CheckedRow,
    RequestChecker,
    derive_seed,
    is_file_name,
    normalize_text,
)

GOOD = {"id": "a-1", "ref": "v/a.wav", "text": "All is well."}


def check(change: dict[str, Any] | None = None, number: int = 1, **settings: Any) -> CheckedRow:
    return RequestChecker(**settings).check(ManifestRow(number, {**GOOD, **(change or {})}))


def codes(checked: CheckedRow) -> list[str]:
    return [fault.code for fault in checked.faults]


def request(change: dict[str, Any] | None = None, **settings: Any) -> SynthesisRequest:
    checked = check(change, **settings)
    assert checked.request is not None, checked.faults
    return checked.request


def test_a_full_row() -> None:
    row = {
        **GOOD,
        "ref_text": "Hello  there",
        "language": "EN_us",
        "seed": "12",
        "scene": "a quiet\nroom",
        "speaker": 4,
        "max_duration_s": "12.5",
        "temperature": 0.7,
        "top_p": 1,
        "top_k": 50.0,
        "audio": "out/a.wav",
        "ground_truth": " said/a.wav ",
        "category": " long\tquestions",
    }
    assert request(row) == SynthesisRequest(
        row=1,
        utterance_id="a-1",
        prompt_audio="v/a.wav",
        prompt_text="Hello there",
        target_text="All is well.",
        language="en-US",
        seed=12,
        scene="a quiet room",
        speaker="4",
        audio_uri="out/a.wav",
        ground_truth_audio="said/a.wav",
        category="long questions",
        max_duration_s=12.5,
        temperature=0.7,
        top_p=1.0,
        top_k=50,
    )


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"ref": ""}, "missing_ref", "'ref' is empty"),
        ({"ref": "a\tb.wav"}, "bad_ref", r"'a\tb.wav'"),
        ({"ref": 3}, "bad_ref", "of type int"),
        ({"ref": "a" * 4097}, "bad_ref", "4097"),
        ({"ref": "ftp://h/a.wav"}, "uri_scheme_not_allowed", "ftp"),
        ({"ref": "simplecache::s3://b/a.wav"}, "uri_scheme_not_allowed", "::"),
        ({"audio": "gopher://a"}, "uri_scheme_not_allowed", "gopher"),
        ({"ground_truth": "gopher://a"}, "uri_scheme_not_allowed", "gopher"),
        ({"ground_truth": "a\x07.wav"}, "bad_ground_truth", "control"),
        ({"ground_truth": 7}, "bad_ground_truth", "int"),
        ({"text": None}, "empty_text", "'text' is empty"),
        ({"text": " \n\t\u3000"}, "empty_text", "'text' is empty"),
        ({"text": True}, "bad_text", "of type bool"),
        ({"text": "a" * 2001}, "text_too_long", "2001 characters, at most 2000"),
        ({"ref_text": "a" * 2001}, "text_too_long", "'ref_text'"),
        ({"text": "... — !"}, "text_unspeakable", "'... — !'"),
        ({"text": "\U0001f600"}, "text_unspeakable", "\U0001f600"),
        ({"text": "Stop <|eot_id|> now"}, "text_has_special_token", "'<|eot_id|>'"),
        ({"ref_text": "<|AUDIO|>"}, "text_has_special_token", "'ref_text'"),
        ({"scene": "a <|x|>"}, "text_has_special_token", "'scene'"),
        ({"speaker": "<|x|>"}, "text_has_special_token", "'speaker'"),
        ({"category": True}, "bad_category", "of type bool"),
        ({"category": "a" * 2001}, "text_too_long", "'category'"),
        ({"category": "a\u0007"}, "text_control_characters", "'category' holds U+0007"),
        ({"text": "a\u0007b\u009f"}, "text_control_characters", "U+0007, U+009F"),
        ({"id": "a/b"}, "bad_id", "'a/b'"),
        ({"id": "a\nb"}, "bad_id", r"'a\nb'"),
        ({"id": 1.5}, "bad_id", "of type float"),
        ({"language": "englsh"}, "bad_language", "'englsh'"),
        ({"language": "e" * 5000}, "bad_language", "..."),
        ({"language": 1}, "bad_language", "of type int"),
        ({"seed": -1}, "bad_seed", "'-1'"),
        ({"seed": 2**63}, "bad_seed", str(2**63 - 1)),
        ({"seed": 1.5}, "bad_seed", "'1.5'"),
        ({"seed": True}, "bad_seed", "'True'"),
        ({"seed": "1e3"}, "bad_seed", "'1e3'"),
        ({"temperature": 0}, "bad_temperature", "above 0, at most 5"),
        ({"temperature": 5.01}, "bad_temperature", "'5.01'"),
        ({"temperature": "hot"}, "bad_temperature", "'hot'"),
        ({"temperature": 10**400}, "bad_temperature", "at most 5"),
        ({"top_p": 0.0}, "bad_top_p", "'0.0'"),
        ({"top_p": 1.01}, "bad_top_p", "at most 1"),
        ({"top_k": 0}, "bad_top_k", "from 1"),
        ({"top_k": 2**31}, "bad_top_k", str(2**31 - 1)),
        ({"max_duration_s": 0}, "bad_max_duration_s", "'0'"),
        ({"max_duration_s": 601}, "bad_max_duration_s", "at most 600"),
        ({"max_duration_s": math.nan}, "bad_max_duration_s", "'nan'"),
        ({"max_duration_s": math.inf}, "bad_max_duration_s", "'inf'"),
        ({"max_duration_s": "-inf"}, "bad_max_duration_s", "'-inf'"),
    ],
)
def test_each_fault(change: dict[str, Any], code: str, told: str) -> None:
    checked = check(change, number=9)
    assert codes(checked) == [code]
    assert checked.request is None
    assert told in checked.faults[0].message
    assert "\n" not in checked.faults[0].message
    assert len(checked.faults[0].message) < 400


def test_all_faults_of_a_row_at_once() -> None:
    bad = {
        "id": "..",
        "ref": "",
        "text": "<|a|>\u0001" + "b" * 2001,
        "language": "?",
        "seed": "x",
        "top_p": 2,
    }
    assert sorted(codes(check(bad))) == [
        "bad_id",
        "bad_language",
        "bad_seed",
        "bad_top_p",
        "missing_ref",
        "text_control_characters",
        "text_has_special_token",
        "text_too_long",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"text": "a" * 2000},
        {"text": "a  " * 1000},  # 1999 once its spaces are single
        {"text": "2 < 3 | 4 > 1"},
        {"text": "|> backwards <|"},
        {"text": "好"},
        {"text": "नमस्ते"},
        {"text": "a\u200db"},  # a joiner is no control character
        {"ref": "My\u202fvoice\u00a01.wav"},  # macOS writes such names
        {"ref": "S3://Bucket/a.wav"},
        {"ref": "C:\\voices\\a.wav"},
        {"ref": "../a.wav"},
        {"language": "zh-Hans"},
        {"seed": 0},
        {"seed": 2**63 - 1},
        {"seed": str(2**63 - 1)},
        {"seed": "7.0"},
        {"temperature": 5},
        {"top_p": "1"},
        {"max_duration_s": 600},
        {"id": 17},
    ],
)
def test_what_is_allowed(change: dict[str, Any]) -> None:
    assert codes(check(change)) == []


def test_big_seeds_are_exact() -> None:
    assert request({"seed": str(2**63 - 1)}).seed == 2**63 - 1


@pytest.mark.parametrize(
    ("tag", "normal"),  # BCP 47 (RFC 5646 section 2.1.1): language lower, script Title, region UPPER case
    [("EN_us", "en-US"), ("zh_hans_cn", "zh-Hans-CN"), (" de ", "de"), ("eng", "en"), ("cmn", "cmn")],
)
def test_language_is_normalised(tag: str, normal: str) -> None:
    assert request({"language": tag}).language == normal


def test_default_language() -> None:
    assert request(default_language="ZH").language == "zh"
    with pytest.raises(ConfigError, match="'klingonese' is not a BCP 47 tag"):
        RequestChecker(default_language="klingonese")


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("a", True), ("A.b_c-1", True), ("0", True), ("x" * 128, True), ("console", True), ("com10", True),
        ("x" * 129, False), ("", False), (".a", False), ("-a", False), ("a.", False), ("a b", False),
        ("a\n", False), ("é", False), ("CON", False), ("nul.txt", False), ("Com1", False), ("lpt9.a.b", False),
    ],
)  # fmt: skip
def test_file_names(name: str, fit: bool) -> None:
    assert is_file_name(name) is fit


# ---- ids and seeds


def test_derived_id_and_seed_by_hand() -> None:
    row = ManifestRow(4, {"text": " All  is well.", "ref": "v/a.wav", "id": None})
    got = RequestChecker(base_seed=3).check(row).request
    assert got is not None
    content = b'{"ref": "v/a.wav", "text": "All is well."}'
    assert got.utterance_id == "utt-" + hashlib.sha256(content).hexdigest()[:12]
    digest = hashlib.sha256(f"3:{got.utterance_id}".encode()).hexdigest()
    assert got.seed == int(digest[:16], 16) // 2
    assert derive_seed(4, got.utterance_id) != got.seed


def test_a_category_changes_neither_id_nor_seed() -> None:
    content = {"ref": "a.wav", "text": "Hello."}
    plain = RequestChecker().check(ManifestRow(1, content)).request
    labelled = RequestChecker().check(ManifestRow(1, {**content, "category": 3})).request
    assert plain is not None
    assert labelled == dataclasses.replace(plain, category="3")


def test_the_same_content_has_the_same_id_in_every_format() -> None:
    csv = b"text;ref;top_p;seed\nHello there.;a.wav;0.5;7\n"
    jsonl = b'{"seed": 7, "top_p": 0.5, "scene": "", "prompt_wav": "a.wav", "sentence": "Hello\\u00a0there."}'
    ids = set()
    for name, data in (("m.csv", csv), ("m.jsonl", jsonl)):
        (row,) = read_manifest(io.BytesIO(data), name)
        ids.add(RequestChecker().check(row).utterance_id)
    assert len(ids) == 1


def test_rows_may_move() -> None:
    rows = [{"ref": "a.wav", "text": f"Sentence {n}."} for n in "abc"]

    def seeds(order: list[dict[str, str]]) -> dict[str, tuple[str, int]]:
        checker = RequestChecker()
        found = [checker.check(ManifestRow(n, row)).request for n, row in enumerate(order, 1)]
        return {r.target_text: (r.utterance_id, r.seed) for r in found if r}

    assert seeds(rows) == seeds(rows[::-1])
    assert len(set(seeds(rows).values())) == 3


def test_of_two_rows_with_one_id_the_first_wins() -> None:
    checker = RequestChecker()
    first, second, third = (
        checker.check(ManifestRow(n, {**GOOD, "text": t})) for n, t in ((5, "a"), (8, "b"), (9, "c"))
    )
    assert first.request is not None
    assert codes(second) == codes(third) == ["duplicate_id"]
    assert "already row 5" in second.faults[0].message
    assert first.utterance_id == "a-1"
    assert len({row.utterance_id for row in (first, second, third)}) == 3
    assert all(re.fullmatch("a-1#[0-9a-f]{8}", row.utterance_id) for row in (second, third))


def test_the_id_of_a_bad_row_stays_when_rows_are_put_in_before_it() -> None:
    bad = [{**GOOD, "id": "a/b"}, {**GOOD, "id": "a/b"}, {"ref": "a.wav", "text": ""}]
    before = RequestChecker()
    after = RequestChecker()
    after.check(ManifestRow(1, GOOD))
    alone = [before.check(ManifestRow(n, values)).utterance_id for n, values in enumerate(bad, 1)]
    assert [after.check(ManifestRow(n, values)).utterance_id for n, values in enumerate(bad, 2)] == alone
    assert alone[1] == f"{alone[0]}-2", "copies are told apart"
    assert len(set(alone)) == 3


def test_a_failed_row_keeps_its_id_from_later_ones() -> None:
    checker = RequestChecker()
    assert codes(checker.check(ManifestRow(1, {**GOOD, "seed": "x"}))) == ["bad_seed"]
    assert codes(checker.check(ManifestRow(2, GOOD))) == ["duplicate_id"]


def test_a_failed_row_without_an_id_takes_none_from_later_ones() -> None:
    checker = RequestChecker()
    content = {"ref": "a.wav", "text": "Hello."}
    assert re.fullmatch(
        "utt#[0-9a-f]{8}", checker.check(ManifestRow(1, {**content, "seed": "x"})).utterance_id
    )
    assert checker.check(ManifestRow(2, content)).faults == ()


def test_an_unusable_id_is_kept_readable() -> None:
    assert check({"id": "a/b\n\u202e"}, number=3).utterance_id.rpartition("#")[0] == "a/b\\n\\u202e"


def test_rows_the_reader_could_not_read_get_no_further_faults() -> None:
    fault = Fault("bad_json", "not JSON")
    checker = RequestChecker()
    one, two = (checker.check(ManifestRow(n, {}, [fault])) for n in (1, 2))
    assert one.faults == two.faults == (fault,)
    assert two.utterance_id == f"{one.utterance_id}-2"


def test_other_faults_of_the_reader_are_joined_by_ours() -> None:
    row = ManifestRow(1, {**GOOD, "top_k": 0}, [Fault("unknown_field", "temprature")])
    assert codes(RequestChecker().check(row)) == ["unknown_field", "bad_top_k"]


def test_scoring_needs_audio_and_no_reference() -> None:
    checker = RequestChecker(required=("audio", "text"))
    assert codes(checker.check(ManifestRow(1, {"text": "Hello."}))) == ["missing_audio"]
    found = checker.check(ManifestRow(2, {"text": "Hello.", "audio": "a.wav"}))
    assert found.request is not None
    assert (found.request.prompt_audio, found.request.audio_uri) == (None, "a.wav")


def test_an_id_is_remembered_in_about_100_bytes() -> None:
    checker = RequestChecker()
    for number in range(1, 20_001):
        checker.check(ManifestRow(number, {**GOOD, "id": f"u{number}" + "x" * 100}))
    held = sys.getsizeof(checker._first_row) + sum(map(sys.getsizeof, checker._first_row))
    held += sum(map(sys.getsizeof, checker._first_row.values()))
    assert held / 20_000 < 120


# ---- what holds of every row

_ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(FIELDS)), _ANY), max_size=6))
def test_any_row_is_either_a_request_or_told(contents: list[dict[str, Any]]) -> None:
    checker = RequestChecker()
    lines = [json.dumps(content) for content in contents]
    found = [
        checker.check(row) for row in read_manifest(io.BytesIO("\n".join([*lines, "{}"]).encode()), "m.jsonl")
    ]
    assert len(found) == len(contents) + 1
    for row in found:
        assert (row.request is None) == bool(row.faults)
        if row.request is not None:
            assert dataclasses.asdict(row.request) == row.values
    assert len({row.utterance_id for row in found}) == len(found)
    table = to_table([row.values for row in found], REQUEST)  # good or bad, it fits the schema
    assert isinstance(table, pa.Table)
    assert table.column("utterance_id").null_count == 0


@given(st.text())
def test_text_normalisation(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "  " not in once
    assert once == once.strip()
    # only whitespace is taken away
    assert "".join(unicodedata.normalize("NFC", text).split()) == once.replace(" ", "")


def test_a_row_follows_one_above_it() -> None:
    checker = RequestChecker()

    def follow(number: int, utterance_id: str, follows: object) -> CheckedRow:
        return checker.check(ManifestRow(number, {**GOOD, "id": utterance_id, "follows": follows}))

    assert follow(1, "a", "").request is not None
    assert follow(2, "b", "a").values["follows"] == "a"
    assert codes(follow(3, "c", "c")) == ["unknown_follows"]  # itself
    assert codes(follow(4, "d", "e")) == ["unknown_follows"]  # not yet
    assert codes(follow(5, "5", "b")) == []
    assert follow(6, "f", 5).values["follows"] == "5"  # as ids may be numbers
    assert codes(follow(7, "g", "c")) == []  # a faulty row is a row
