"""Texts as a reader says them; the expected words are written by hand."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.narration.lexicon import abbreviations, read_lexicon
from pipeline.narration.sound_tags import SOUND_TAGS
from pipeline.narration.spoken import spoken_form, with_arabic_number

ENGLISH = {
    "He paid $5.": "He paid five dollars.",
    "It is $5.20 or £1.50.": "It is five dollars and twenty cents or one pound and fifty pence.",
    "A $2.5 million plan.": "A two point five million dollars plan.",
    "In 1865, 1,234 men left.": "In eighteen sixty-five, one thousand two hundred and thirty-four men left.",
    "At 10:30, 9:05 and 7:00.": "At ten thirty, nine oh five and seven o’clock.",
    "Due 2026-11-25.": "Due November twenty-fifth, twenty twenty-six.",
    "The 21st of May.": "The twenty-first of May.",
    "It grew 5% in 12.5 km.": "It grew five percent in twelve point five kilometers.",
    "It was -5 outside.": "It was minus five outside.",
    "Agent 007 came.": "Agent zero zero seven came.",
    "Dr. and Mrs. Hill, i.e. us.": "Doctor and Missus Hill, that is us.",
    "Pears, etc.": "Pears, et cetera.",
    "“Pears, etc.”": "“Pears, et cetera.”",
    "_Very_ odd snake_case.": "Very odd snake_case.",
    "Version 1.2.3 of B2B mp3.": "Version 1.2.3 of B2B mp3.",
    "Ha! [laugh] Yes. [music start] [sic]": "Ha! <SE>[Laughter]</SE> Yes. <SE_s>[Music]</SE_s> [sic]",
    # what is English alone
    "Call 555-1234.": "Call five five five, one two three four.",
    "Call (212) 555-0100.": "Call two one two, five five five, zero one zero zero.",
    "Dial +1 212-555-1234.": "Dial plus one, two one two, five five five, one two three four.",
    "Some 800-1200 men.": "Some eight hundred-twelve hundred men.",
    "From 476-1453.": "From four hundred and seventy-six-fourteen fifty-three.",
    "We met on 3 May 2021.": "We met on the third of May twenty twenty-one.",
    "3 May, the 4 May and 5th June": "the third of May, the fourth of May and the fifth of June",
    "May 3, 2021, and May 21st.": "May third, twenty twenty-one, and May twenty-first.",
    "On the 1st of June.": "On the first of June.",
    "Due 12/25/2020.": "Due December twenty-fifth, twenty twenty.",
    "Due 25/12/2020 or 5/5/2020.": "Due December twenty-fifth, twenty twenty or May fifth, twenty twenty.",
    "Due 3/4/2020, 13/13/2020, 9/11 or 24/7.": "Due 3/4/2020, 13/13/2020, 9/11 or 24/7.",
    "In the 1990s, the mid-1800s, the ’90s": "In the nineteen nineties, the mid-eighteen hundreds, the nineties",
    "In his 30s, for 30s.": "In his thirties, for 30s.",
    "3/4 of it, 1/2 a mile, 2 1/2 cups": "three quarters of it, one half a mile, two and one half cups",
    "On 3/4, in 3/4 time, 2/4": "On 3/4, in 3/4 time, 2/4",
    "$1.5bn, £3m and $5k": "one point five billion dollars, three million pounds and five thousand dollars",
    "2.5 m in 45 min": "two point five meters in forty-five minutes",
    "It took 45 min. then. Or 1 hr.": "It took forty-five minutes then. Or one hour.",
    "A 5m plan.": "A 5m plan.",  # metres or millions
    "No. 221 and Nos. 3–5": "number two hundred and twenty-one and numbers three to five",
    "He said no. 12 came.": "He said no. twelve came.",
    "It is -5 °C, or −3 °C.": "It is minus five degrees Celsius, or minus three degrees Celsius.",
    "5-10 km": "five-ten kilometers",
    "5–10 km, 10–15 people": "five to ten kilometers, ten to fifteen people",
    "He was 10 – 5 came.": "He was ten – five came.",
    "May 3–5, 2020, on 3–4 May": "May third to fifth, twenty twenty, on the third to the fourth of May",
    "In 1914–1918, or 1914–18.": "In nineteen fourteen to nineteen eighteen, or nineteen fourteen to eighteen.",
    "$10–15, £2–£3 million": "ten to fifteen dollars, two pounds to three million pounds",
    "5%–10%, the 9th–10th, 9:30–10:15": "five percent to ten percent, the ninth to tenth, nine thirty to ten fifteen",
    "He had 3—no, 4–5–6.": "He had three—no, four–five–six.",
    "p. 12, pp. 12–15, vol. 3": "page twelve, pages twelve to fifteen, volume three",
    "Smith et al. agree.": "Smith and others agree.",
    "Louis XIV, Henry VIII’s": "Louis the fourteenth, Henry the eighth’s",
    "Charles I of England. When I met Charles I ran.": "Charles the first of England. When I met Charles I ran.",
    "Louis VIV, Malcolm X": "Louis VIV, Malcolm X",
    "$12.50 or $0.50": "twelve dollars and fifty cents or fifty cents",
    "€1,299.99, €1": "one thousand two hundred and ninety-nine euros and ninety-nine cents, one euro",
    "St. Paul of Main St.": "St. Paul of Main St.",
}
OTHERS = [
    ("de", "Es kostet 5,20 €, z. B. 1.234,5 km.", "Es kostet fünf Euro und zwanzig Cent, zum Beispiel "
     "eintausendzweihundertvierunddreißig Komma fünf Kilometer."),
    ("de", "Am 3. Mai kamen 3.", "Am 3. Mai kamen drei."),
    ("fr", "M. Dupont a 1 234 livres et 50 %.", "Monsieur Dupont a mille deux cent trente-quatre livres et cinquante pour cent."),
    ("de", "Bei -5 °C nach 45 min am 25/12/2020", "Bei minus fünf Grad Celsius nach fünfundvierzig Minuten am "
     "25. Dezember zweitausendzwanzig"),
    ("fr", "Il a 5 h et 3/4, 555-1234.", "Il a cinq heures et 3/4, cinq cent cinquante-cinq-mille deux cent trente-quatre."),
    ("sv", "Det är 20 km.", "Det är tjugo kilometer."),
    ("zh", "他有3个。", "他有3个。"),  # no library has the words: as written
    ("tlh", "3 Hov", "3 Hov"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "spoken"), ENGLISH.items())
def test_english(written: str, spoken: str) -> None:
    assert spoken_form("en", {})(written) == spoken


@pytest.mark.parametrize(("language", "written", "spoken"), OTHERS)
def test_other_languages(language: str, written: str, spoken: str) -> None:
    assert spoken_form(language, {})(written) == spoken


def test_digits_may_stay() -> None:
    assert spoken_form("en", {}, numbers=False)("Mr. 5, $5") == "Mister 5, $5"


def test_the_job_s_lexicon_is_over_the_language_s() -> None:
    lexicon = read_lexicon(
        b'Cholmondeley = "Chumley"\n"Mr." = "Master"\n"C++" = "C plus plus"\n[de]\nGmbH = "G m b H"\n',
        "l.toml",
    )
    english = spoken_form("en-GB", lexicon)
    assert english("Mr. Cholmondeley of Cholmondeleyshire writes C++.") == (
        "Master Chumley of Cholmondeleyshire writes C plus plus."
    )
    assert english("GmbH") == "GmbH"
    assert spoken_form("de", lexicon)("Die GmbH.") == "Die G m b H."


@pytest.mark.parametrize(
    "toml", [b"a = 1", b"[en]\na = 2", b"[en.x]\na = 'b'", b"'' = 'x'", b"a =", b"\xff = 'x'"]
)
def test_what_is_no_lexicon(toml: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^words\.toml: "):
        read_lexicon(toml, "words.toml")


def test_abbreviations_are_read_whole() -> None:
    assert abbreviations()["en"]["Dr."] == "Doctor"
    assert abbreviations()[""] == {}


def test_every_sound_is_put_in_its_marks() -> None:
    text = " ".join(SOUND_TAGS)
    assert spoken_form("en", {})(text) == " ".join(SOUND_TAGS.values())


@pytest.mark.parametrize(
    ("heading", "said"),
    [("CHAPTER IV. The Storm", "CHAPTER 4. The Storm"), ("XII", "12"), ("IX.", "9."), ("I, Claudius", "I, Claudius"),
     ("Part One", "Part One"), ("Kapitel XL: Ende", "Kapitel 40: Ende"), ("CHAPTER IIII", "CHAPTER IIII"),
     ("Mix", "Mix"), ("Louis XIV", "Louis XIV")],
)  # fmt: skip
def test_roman_numbers_of_headings(heading: str, said: str) -> None:
    assert with_arabic_number(heading, "en") == said
