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

from pipeline.narration.english import english_form, spans_in_words

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
    "min": "duration-minute",
    "sec": "duration-second",
    "ms": "duration-millisecond",
    "hr": "duration-hour",
    "hrs": "duration-hour",
    "ft": "length-foot",
    "lb": "mass-pound",
    "lbs": "mass-pound",
    "oz": "mass-ounce",
    "m²": "area-square-meter",
    "km²": "area-square-kilometer",
}
# `5m` may be five million, `5s` a plural
_SPACED_UNITS = {
    "m": "length-meter",
    "g": "mass-gram",
    "l": "volume-liter",
    "s": "duration-second",
    "h": "duration-hour",
}
_SCALES = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "tn": "trillion",
}
_ISO_DATE = re.compile(r"(?<![\w-])(\d{4})-(\d\d)-(\d\d)(?![\w-])")
_SLASHED_DATE = re.compile(r"(?<![\w/.-])(\d{1,2})/(\d{1,2})/(\d{4})(?![\w/-])")
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
        self._number = re.compile(rf"(?<![\w.,:/−-])([−-]?)({number}){apart}|(?<=\w-)()({number}){apart}")
        marks = "".join(map(re.escape, _CURRENCIES))
        self._is_english = locale.language == "en"
        scale = r"\s(?:thousand|million|billion|trillion)\b"
        if self._is_english:
            scale += r"|\s?(?:bn|mn|tn)\b|[kKmMbB]\b"
        self._money = re.compile(
            rf"([{marks}])\s?({number})(?:({scale})|{apart})"
            rf"|(?<![\w.,])({number})\s?([{marks}])"
        )
        units = "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
        # the period of `45 min. later` ends no sentence
        self._unit = re.compile(
            rf"(?<![\w.,/])([−-]?)({number})(?:\s?({units})|\s({'|'.join(_SPACED_UNITS)}))(?!\w|/)"
            r"(?:(?<=min|sec|hrs|lbs)\.(?=\s[a-z])|(?<=ft|hr|lb|oz)\.(?=\s[a-z]))?"
        )

    def speak(self, text: str) -> str:
        if self._is_english:
            text = spans_in_words(text)
        text = _ISO_DATE.sub(lambda m: self._date(m, *m.groups()), text)
        text = _SLASHED_DATE.sub(self._slashed_date, text)
        text = self._money.sub(self._sum, text)
        text = self._unit.sub(self._quantity, text)
        if self._is_english:
            text = english_form(text, self._words)
        return self._number.sub(self._plain, text)

    def _date(self, match: re.Match[str], year: str, month: str, day: str) -> str:
        try:
            named: str = format_date(date(int(year), int(month), int(day)), "long", locale=self._locale)
        except ValueError:
            return match[0]
        return named

    def _slashed_date(self, match: re.Match[str]) -> str:
        """Where only one of the two can be the month."""
        first, second, year = match.groups()
        if first != second and max(int(first), int(second)) <= 12:
            return match[0]
        month, day = (first, second) if int(second) > 12 else (second, first)
        return self._date(match, year, month, day)

    def _sum(self, match: re.Match[str]) -> str:
        amount = self._value(match[2] or match[4])
        currency = _CURRENCIES[match[1] or match[5]]
        try:
            said = num2words(amount, lang=self._language, to="currency", currency=currency, separator=_CENTS)
            if _CENTS in said and amount != int(amount) and not match[3]:
                if self._is_english:
                    return _english_sum(said, amount)
                return _plainly(num2words(amount, lang=self._language, to="currency", currency=currency))
        except (NotImplementedError, OverflowError, ValueError, TypeError):
            return match[0]
        if _CENTS not in said and amount != int(amount):
            return match[0]
        whole = _plainly(said.partition(_CENTS)[0])
        if not match[3]:
            return _euros(whole, amount) if self._is_english else whole
        name = whole.rpartition(" ")[2]  # `$2.5 million`: two point five million dollars
        scale = match[3].strip()
        scale = _SCALES.get(scale.lower(), scale)
        return f"{self._words(amount)} {scale} {name if name.endswith('s') else name + 's'}"

    def _quantity(self, match: re.Match[str]) -> str:
        amount = self._value(match[2])
        unit = _SPACED_UNITS[match[4]] if match[4] else _UNITS[match[3]]
        named: str = format_unit(amount, unit, "long", locale=self._locale)
        said = self._words(-amount if match[1] else amount)
        # French parts them with a no-break space
        return " ".join(self._number.sub(lambda _: said, named, count=1).split()) if said else match[0]

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
            said = self._words(-value if sign else value)
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


def _english_sum(said: str, amount: Decimal) -> str:
    whole, _, cents = said.partition(_CENTS)
    return _plainly(cents if amount < 1 else f"{_euros(whole, amount)} and {cents}")


def _euros(said: str, amount: Decimal) -> str:
    """num2words knows no plural of the euro."""
    return said if int(amount) == 1 else re.sub(r"\beuro\b", "euros", said)


def _plainly(words: str) -> str:
    """Without the commas of `one thousand, two hundred`, which would be pauses; pounds are no `sterling`."""
    return " ".join(words.replace(",", "").replace(" sterling", "").split())
