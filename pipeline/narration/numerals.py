"""Numbers in words, by num2words, with dates, money and units named by the CLDR (Babel).

What a library does not know for a language is left as it is written: a wrong word is worse than a digit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.units import format_unit
from num2words import CONVERTER_CLASSES, num2words

_MAX_DIGITS = 15  # longer ones are no quantities
_CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_UNITS = {
    "%": "concentr-percent",
    "km/h": "speed-kilometer-per-hour",
    "mph": "speed-mile-per-hour",
    "km": "length-kilometer",
    "cm": "length-centimeter",
    "mm": "length-millimeter",
    "kg": "mass-kilogram",
    "mg": "mass-milligram",
    "ml": "volume-milliliter",
    "°C": "temperature-celsius",
    "°F": "temperature-fahrenheit",
    "kHz": "frequency-kilohertz",
    "MHz": "frequency-megahertz",
    "GHz": "frequency-gigahertz",
    "kW": "power-kilowatt",
    "MB": "digital-megabyte",
    "GB": "digital-gigabyte",
    "TB": "digital-terabyte",
}
_ISO_DATE = re.compile(r"(?<![\w-])(\d{4})-(\d\d)-(\d\d)(?![\w-])")
_ORDINAL = re.compile(r"(?<!\w)(\d{1,4})(?:st|nd|rd|th)(?!\w)")
_CLOCK = re.compile(r"(?<![\w:.])(\d{1,2}):([0-5]\d)(?![\w:])")
# where `3. Mann` is the third: whether a period ends a sentence cannot be told, and cases would be wrong
_PERIOD_ORDINALS = frozenset(
    (
        "cs",
        "da",
        "de",
        "et",
        "fi",
        "hr",
        "hu",
        "is",
        "lt",
        "lv",
        "nb",
        "nn",
        "no",
        "pl",
        "sk",
        "sl",
        "sr",
        "tr",
    )
)
_YEARS = range(1100, 2100)
_CENTS = "\0"  # stands between the parts of a sum, so that no cents can be left out

Speak = Callable[[str], str]


@lru_cache(maxsize=32)
def number_speaker(language: str) -> Speak | None:
    """What puts words for the numbers of a text in `language` (BCP 47); None where no library has them."""
    try:
        locale = Locale.parse(language.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return None
    tags = [str(locale), locale.language]
    known = next((tag for tag in tags if tag in CONVERTER_CLASSES), None)
    return None if known is None else _Speaker(locale, known).speak


class _Speaker:
    def __init__(self, locale: Locale, language: str) -> None:
        self._locale, self._language = locale, language
        symbols = locale.number_symbols["latn"]
        self._group, self._decimal = symbols["group"], symbols["decimal"]
        # what is typed for the narrow no-break space of French
        groups = "".join({self._group, *("\u00a0\u202f " if self._group.isspace() else "")})
        whole = rf"\d{{1,3}}(?:[{re.escape(groups)}]\d{{3}})+|\d+"
        number = rf"(?:{whole})(?:{re.escape(self._decimal)}\d+)?"
        apart = r"(?![\w]|[.,:/]\d)"
        if locale.language in _PERIOD_ORDINALS:
            apart += r"(?!\.\s)"
        self._number = re.compile(rf"(?<![\w.,:/-])(-?)({number}){apart}|(?<=\w-)()({number}){apart}")
        marks = "".join(map(re.escape, _CURRENCIES))
        self._money = re.compile(
            rf"([{marks}])\s?({number}){apart}(\s(?:thousand|million|billion|trillion)\b)?"
            rf"|(?<![\w.,])({number})\s?([{marks}])"
        )
        units = "|".join(map(re.escape, _UNITS))
        self._unit = re.compile(rf"(?<![\w.,])({number})\s?({units})(?!\w)")
        months = "|".join(re.escape(name) for name in locale.months["format"]["wide"].values())
        self._day = re.compile(rf"\b({months}) (\d{{1,2}})(?![\d:])|(?<![\w.,])(\d{{1,2}}) (?={months})")

    def speak(self, text: str) -> str:
        text = _ISO_DATE.sub(self._date, text)
        text = self._money.sub(self._sum, text)
        text = self._unit.sub(self._quantity, text)
        if self._locale.language == "en":
            text = self._day.sub(self._day_of_month, text)
            text = _ORDINAL.sub(lambda m: self._words(int(m[1]), "ordinal") or m[0], text)
            text = _CLOCK.sub(self._time, text)
        return self._number.sub(self._plain, text)

    def _date(self, match: re.Match[str]) -> str:
        try:
            day = date(*map(int, match.groups()))
        except ValueError:
            return match[0]
        named: str = format_date(day, "long", locale=self._locale)
        return named

    def _day_of_month(self, match: re.Match[str]) -> str:
        month, day = match[1], match[2] or match[3]
        said = self._words(int(day), "ordinal")
        if said is None or not 1 <= int(day) <= 31:
            return match[0]
        return f"{month} {said}" if month else f"{said} "

    def _sum(self, match: re.Match[str]) -> str:
        amount = self._value(match[2] or match[4])
        currency = _CURRENCIES[match[1] or match[5]]
        try:
            said = num2words(amount, lang=self._language, to="currency", currency=currency, separator=_CENTS)
            if _CENTS in said and amount != int(amount) and not match[3]:
                return _plainly(num2words(amount, lang=self._language, to="currency", currency=currency))
        except (NotImplementedError, OverflowError, ValueError, TypeError):
            return match[0]
        if _CENTS not in said and amount != int(amount):
            return match[0]
        whole = _plainly(said.partition(_CENTS)[0])
        if not match[3]:
            return whole
        name = whole.rpartition(" ")[2]  # `$2.5 million`: two point five million dollars
        return f"{self._words(amount)}{match[3]} {name if name.endswith('s') else name + 's'}"

    def _quantity(self, match: re.Match[str]) -> str:
        amount = self._value(match[1])
        named: str = format_unit(amount, _UNITS[match[2]], "long", locale=self._locale)
        said = self._words(int(amount) if amount == int(amount) else amount)
        return self._number.sub(lambda _: said, named, count=1) if said else match[0]

    def _time(self, match: re.Match[str]) -> str:
        hour, minute = int(match[1]), int(match[2])
        if hour > 24:
            return match[0]
        minutes = "" if not minute else f" {'oh ' * (minute < 10)}{self._words(minute)}"
        return f"{self._words(hour)}{minutes or ' o’clock'}"

    def _plain(self, match: re.Match[str]) -> str:
        sign, digits = match[1] or match[3] or "", match[2] or match[4]
        value = self._value(digits)
        if not digits.isdigit():
            said = self._words(-value if sign else value)
        elif len(digits) > _MAX_DIGITS or (digits[0] == "0" and len(digits) > 1):
            each = [self._words(int(digit)) for digit in digits]
            said = None if None in each else " ".join(filter(None, each))
        elif len(digits) == 4 and int(digits) in _YEARS and not sign:
            said = self._words(int(digits), "year")
        else:
            said = self._words(int(f"{sign}{digits}"))
        return said or match[0]

    def _value(self, digits: str) -> Decimal:
        whole, _, fraction = digits.partition(self._decimal)
        return Decimal(re.sub(r"\D", "", whole) + (f".{fraction}" if fraction else ""))

    def _words(self, value: int | Decimal, to: str = "cardinal") -> str | None:
        whole = int(value) if value == int(value) and to == "cardinal" else value
        try:
            return _plainly(num2words(whole, lang=self._language, to=to))
        except (NotImplementedError, OverflowError, ValueError, TypeError, IndexError, KeyError):
            return None


def _plainly(words: str) -> str:
    """Without the commas of `one thousand, two hundred`, which would be pauses; pounds are no `sterling`."""
    return " ".join(words.replace(",", "").replace(" sterling", "").split())
