"""Numbers that name a person or an account: phones, cards, IBANs, identity numbers, passports, addresses of machines.

A shape alone is no finding: where a number has a checksum it must hold (`python-stdnum`), a phone number must be one
that its country gives out (`phonenumbers`), and what has neither needs a word before it that says what it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from chidu.errors import MissingPackageError
from chidu.safety.finding import Finding
from chidu.safety.patterns import REACH, Find, plain

__all__ = ["IdentifierJudge"]

# A digit, behind which seven stand at least in groups; not in the middle of a word, a number or a decimal.
_START = re.compile(r"(?<![0-9A-Za-z_])(?<!\d\.)(?:\+|\()?\d(?=(?:[ ().\-]{0,3}\d){6})", re.ASCII)
_UPPER = re.compile(r"(?<![0-9A-Za-z])[A-Z](?=[A-Z0-9]\d\d)", re.ASCII)
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d|-\d)", re.ASCII)
_VERSION = re.compile(r"(?i:\b(?:v|ver|version|release)|版本)\W{0,2}\Z")
_CALL = re.compile(r"(?i:\b(?:tel|phone|call|mobile|cell|fax|text|whatsapp|reach)\b|电话|手机|传真|致电|拨打|热线)")
_SOCIAL = re.compile(r"(?i:\bssn\b|\bsocial\s+security)|社会安全号")
_PASSPORT = re.compile(r"(?i:passport|护照)")
_CONTEXT = 32
"""Characters before a number in which a word may say what it is."""

_CARD = re.compile(r"\d(?:[ -]?\d){12,18}", re.ASCII)
# Issuers by their first digits, and how many digits their numbers have.
_ISSUERS = (
    (re.compile(r"4"), (16, 13, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"62"), (19, 18, 17, 16)),
    (re.compile(r"6011|65|64[4-9]"), (16,)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"3(?:0[0-5]|[68])"), (14,)),
)
_RESIDENT = re.compile(r"[1-9]\d{16}[\dXx](?![0-9A-Za-z])", re.ASCII)
_SSN = re.compile(r"\d{3}-\d{2}-\d{4}(?![\w]|-\d)|\d{3} ?\d{2} ?\d{4}(?!\w)", re.ASCII)
_CPF = re.compile(r"\d{3}\.\d{3}\.\d{3}-\d{2}(?!\w)", re.ASCII)
_AADHAAR = re.compile(r"\d{4} \d{4} \d{4}(?! ?\d|\w)", re.ASCII)
_IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}", re.ASCII)
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FK FO GL NL SD"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU MN XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
    )
    for country in countries.split()
}
_MRZ = re.compile(
    r"(?<![A-Z0-9<])[A-Z0-9<]{9}\d[A-Z<]{3}\d{6}\d[MFX<]\d{6}\d[A-Z0-9<]{14}[\d<]\d(?![A-Z0-9<])", re.ASCII
)
_CHINA_PASSPORT = re.compile(r"[EGDSP][A-Z0-9]\d{7}(?![0-9A-Za-z])", re.ASCII)

_ABROAD = re.compile(r"\+\d(?:[ ().\-]{0,2}\d){6,14}", re.ASCII)
_CHINA = re.compile(
    r"1[3-9]\d([ -]?)\d{4}\1\d{4}(?!\w|\.\d|-\d)"
    r"|(?:0\d{2,3}[ -]|\(0\d{2,3}\) ?)\d{7,8}(?!\w|[.-]\d)"
    r"|400-?\d{3}-?\d{4}(?!\w|[.-]\d)",
    re.ASCII,
)
_AMERICA = re.compile(
    r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?[2-9]\d{2}[ .-]|[2-9]\d{2}([ .-])[2-9]\d{2}\1)\d{4}(?!\w|[.-]\d)", re.ASCII
)
# What these may have begun with, up to the text's end: digits in groups, letters and digits, a line of a passport.
_OPEN = re.compile(
    r"(?<![0-9A-Za-z_])[+(]?\d[\d ().\-]*[Xx]?\Z|(?<![0-9A-Za-z_])[+(]\Z"
    r"|(?<![0-9A-Za-z])[A-Z](?:[A-Z0-9](?:\d(?:\d[A-Z0-9 ]*)?)?)?\Z"
    r"|(?<![A-Z0-9<])[A-Z0-9<]+\Z",
    re.ASCII,
)
_CODE = re.compile(r"\+\d{1,3}[ -]\(?\Z", re.ASCII)
_ELSEWHERE = re.compile(r"0\d(?:[ -]?\d){7,10}(?!\w|[.-]\d)", re.ASCII)
_OTHERS = ("GB", "DE", "FR", "IT", "IN", "JP", "KR")
"""Where a number without a country is tried, if a word says that it is one to call."""


def _before(text: str, start: int) -> str:
    return text[max(0, start - _CONTEXT) : start]


def _ends(text: str, match: re.Match[str] | None) -> Iterator[int]:
    """Yield where groups of a long match end, the longest first, four at the most."""
    if match is None:
        return
    end, found = match.end(), 0
    while end > match.start() and found < 4:
        if not text[end : end + 1].isalnum():
            found += 1
            yield end
        end = max(text.rfind(sign, match.start(), end) for sign in " -")
    return


class IdentifierJudge:
    """Finds numbers of persons and accounts. Raises MissingPackageError where the packages with the checksums lack."""

    def __init__(self) -> None:
        try:
            import phonenumbers
            from stdnum import iban, luhn
            from stdnum.br import cpf
            from stdnum.cn import ric
            from stdnum.in_ import aadhaar
            from stdnum.us import ssn
        except ImportError as error:
            raise MissingPackageError(error.name or "python-stdnum", "guard", "judging numbers") from error
        self._phones: Any = phonenumbers
        self._luhn: Callable[[str], bool] = luhn.is_valid
        self._iban_holds: Callable[[str], bool] = iban.is_valid
        self._ssn_holds: Callable[[str], bool] = ssn.is_valid
        # With what they may begin with. The first that finds something at a place names it.
        numbers: tuple[tuple[str, str, str, Find], ...] = (
            ("123456789", "id", "cn-resident-id", _checked(_RESIDENT, ric.is_valid)),
            ("23456", "card", "card-luhn", self._card),
            ("0123456789", "id", "br-cpf", _checked(_CPF, cpf.is_valid)),
            ("23456789", "id", "in-aadhaar", _checked(_AADHAAR, aadhaar.is_valid)),
            ("012345678", "id", "us-ssn", self._social),
            ("+", "phone", "phone-international", self._abroad),
            ("014(", "phone", "phone-cn", lambda text, start: self._phone(_CHINA.match(text, start), "CN")),
            ("123456789(", "phone", "phone-us", self._american),
            ("0", "phone", "phone-called", self._called),
        )
        self._numbers = {sign: [rule[1:] for rule in numbers if sign in rule[0]] for sign in "+(0123456789"}
        letters = [("iban", "iban", self._iban), ("passport", "cn-passport", _passport)]
        self._letters = dict.fromkeys(ascii_uppercase, letters)

    def judge(self, text: str) -> list[Finding]:
        """Return the findings in the order in which they start."""
        text = plain(text)
        found = [
            *self._at(text, _START, self._numbers),
            *self._at(text, _UPPER, self._letters),
            *_machine_read(text),
            *_addresses(text),
        ]
        return sorted(found)

    def open_from(self, text: str, since: int = 0) -> int:
        """Return where a number has begun that could still go on; the text's end where none has."""
        match = _OPEN.search(plain(text), max(since, len(text) - REACH))
        return match.start() if match else len(text)

    @staticmethod
    def _at(
        text: str, starts: re.Pattern[str], rules: Mapping[str, Sequence[tuple[str, str, Find]]]
    ) -> Iterator[Finding]:
        for place in starts.finditer(text):
            # What stands in brackets may be a number with its brackets, or without.
            for start in (place.start(), place.start() + 1) if place[0][0] == "(" else (place.start(),):
                for category, name, find in rules[text[start]]:
                    if end := find(text, start):
                        yield Finding(start, end, category, name)
                        break

    def _card(self, text: str, start: int) -> int:
        match = _CARD.match(text, start)
        if match is None or _follows_digits(text, start, "-"):
            return 0
        places = [place for place in range(start, match.end()) if text[place].isdigit()]
        digits = "".join(text[place] for place in places)
        for issuer, lengths in _ISSUERS:
            if issuer.match(digits) is None:
                continue
            for length in lengths:
                end = places[length - 1] + 1 if len(places) >= length else 0
                if end and not text[end : end + 1].isalnum() and self._luhn(digits[:length]):
                    return end
        return 0

    def _social(self, text: str, start: int) -> int:
        match = _SSN.match(text, start)
        if match is None or text[max(0, start - 1) : start] == "-":
            return 0
        is_said = "-" in match[0] or _SOCIAL.search(_before(text, start))
        digits = re.sub(r"\D", "", match[0])
        return match.end() if is_said and self._ssn_holds(f"{digits[:3]}-{digits[3:5]}-{digits[5:]}") else 0

    def _iban(self, text: str, start: int) -> int:
        match = _IBAN.match(text, start)
        if match is None:
            return 0
        # What follows may be a word in capitals: the country says how long it is.
        places = [place for place in range(start, match.end()) if text[place] != " "]
        length = _IBAN_LENGTHS.get(match[0][:2], 99)
        end = places[length - 1] + 1 if len(places) >= length else 0
        return end if end and not text[end : end + 1].isalnum() and self._iban_holds(text[start:end]) else 0

    def _is_phone(self, said: str, region: str | None) -> bool:
        try:
            return bool(self._phones.is_valid_number(self._phones.parse(said, region)))
        except self._phones.NumberParseException:
            return False

    def _phone(self, match: re.Match[str] | None, region: str) -> int:
        # Behind the code of a country it is the rest of a longer number.
        if match is None or _CODE.search(_before(match.string, match.start())):
            return 0
        return match.end() if self._is_phone(match[0], region) else 0

    def _abroad(self, text: str, start: int) -> int:
        for end in _ends(text, _ABROAD.match(text, start)):
            if self._is_phone(text[start:end], None):
                return end
        return 0

    def _american(self, text: str, start: int) -> int:
        match = _AMERICA.match(text, start)
        # Three groups with blanks between may be a row of a table.
        if match is not None and match[1] == " " and not _CALL.search(_before(text, start)):
            return 0
        return self._phone(match, "US")

    def _called(self, text: str, start: int) -> int:
        match = _ELSEWHERE.match(text, start)
        if match is None or not _CALL.search(_before(text, start)):
            return 0
        return next((match.end() for region in _OTHERS if self._is_phone(match[0], region)), 0)


def _follows_digits(text: str, start: int, signs: str) -> bool:
    return start >= 2 and text[start - 1] in signs and text[start - 2].isdigit()


def _checked(pattern: re.Pattern[str], holds: Callable[[str], bool]) -> Find:
    def find(text: str, start: int) -> int:
        # Not behind another group of digits: these four would be the middle of a longer number.
        if _follows_digits(text, start, "- "):
            return 0
        match = pattern.match(text, start)
        return match.end() if match is not None and holds(match[0]) else 0

    return find


def _passport(text: str, start: int) -> int:
    match = _CHINA_PASSPORT.match(text, start)
    return match.end() if match is not None and _PASSPORT.search(_before(text, start)) else 0


def _machine_read(text: str) -> Iterator[Finding]:
    if "<" in text:
        for match in _MRZ.finditer(text):
            if _mrz_holds(match[0]):
                yield Finding(match.start(), match.end(), "passport", "passport-mrz")


def _addresses(text: str) -> Iterator[Finding]:
    """Yield IPv4 addresses that anybody on the internet could have."""
    for match in _ADDRESS.finditer(text):
        try:
            is_public = ipaddress.IPv4Address(match[0]).is_global
        except ValueError:
            continue
        if is_public and not _VERSION.search(_before(text, match.start())):
            yield Finding(match.start(), match.end(), "ip", "ipv4-public")


_VALUES = {sign: value for value, sign in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")} | {"<": 0}


def _mrz_holds(line: str) -> bool:
    """Tell whether the check digits of the second line of a passport hold (ICAO 9303, part 4)."""

    def check(part: str) -> str:
        return str(sum(_VALUES[sign] * (7, 3, 1)[place % 3] for place, sign in enumerate(part)) % 10)

    parts = ((line[:9], line[9]), (line[13:19], line[19]), (line[21:27], line[27]))
    whole = line[:10] + line[13:20] + line[21:43]
    return all(check(part) == digit for part, digit in parts) and check(whole) == line[43]
