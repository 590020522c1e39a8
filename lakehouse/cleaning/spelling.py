"""How single values are brought into one spelling. Each function is tried on distinct values only.

`None` means that the value cannot be brought into it.
"""

import gettext
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

import phonenumbers
import pycountry
from email_validator import EmailNotValidError, validate_email

from lakehouse.contracts.reference import (
    CODES_IN_USE,
    LANGUAGES,
    LOWER_CASE_WORDS,
    NO_CURRENCY,
    REGIONS_IN_USE,
    WITHDRAWN_CURRENCIES,
)

_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]+")


def spaces(text: str) -> str | None:
    """Unicode NFC, no control characters, single spaces inside and none outside."""
    composed = unicodedata.normalize("NFC", text)
    visible = (" " if c.isspace() else c for c in composed)
    kept = "".join(c for c in visible if unicodedata.category(c) not in ("Cc", "Cf"))
    return _SPACES.sub(" ", kept).strip() or None


def name(text: str) -> str | None:
    """A name with the capitals that names have, if what was typed shows none of its own."""
    tidy = spaces(text)
    if tidy is None or not _is_careless(tidy):
        return tidy
    words = tidy.lower().split(" ")
    return " ".join(_capitals(word, is_first=n == 0) for n, word in enumerate(words))


def choice(text: str, choices: tuple[str, ...]) -> str | None:
    """The one of these that is meant, whatever its case and spaces."""
    tidy = spaces(text)
    return None if tidy is None else _folded(choices).get(tidy.casefold())


def country(text: str) -> str | None:
    """ISO 3166-1 alpha-2 of a code, a former code, or a name in a language of the shop."""
    tidy = spaces(text)
    return None if tidy is None else _countries().get(_plain(tidy))


def currency(text: str) -> str | None:
    """ISO 4217 of a code in any case, those that were withdrawn since 1999 included."""
    tidy = spaces(text)
    return None if tidy is None else _currencies().get(tidy.casefold())


def phone(text: str, country_text: str | None) -> str | None:
    """E.164 (ITU-T). Without `+` or `00` it is a national number of the country."""
    tidy = spaces(text)
    if tidy is None:
        return None
    number = re.sub(r"^\W*00", "+", tidy)
    region = country(country_text) if country_text else None
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def email(text: str) -> str | None:
    """An address as RFC 5321 writes it, in a public domain, in small letters."""
    tidy = text.strip()
    try:
        found = validate_email(tidy, check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


def region_code(country_text: str, region_text: str | None) -> str | None:
    """ISO 3166-2 of a region by its name, within its country."""
    code, tidy = country(country_text), spaces(region_text or "")
    if code is None or tidy is None:
        return None
    return _regions(code).get(_plain(tidy))


def person_key(email_text: str, birth_date: str | None) -> str | None:
    """The same for all accounts of one person; says nothing of them to who reads it."""
    address = email(email_text)
    if address is None:
        return None
    return hashlib.blake2b(f"{address}|{birth_date or ''}".encode(), digest_size=16).hexdigest()


def _is_careless(text: str) -> bool:
    words = _WORD.findall(text)
    letters = "".join(words)
    if len(letters) < 2 or letters.upper() == letters.lower():
        return False
    is_inverted = all(w[0].islower() or w.isupper() for w in words) and any(
        w[1:].isupper() for w in words if len(w) > 1
    )
    return letters.isupper() or letters.islower() or is_inverted


def _capitals(word: str, *, is_first: bool) -> str:
    if not is_first and word in LOWER_CASE_WORDS:
        return word
    return _WORD.sub(lambda match: match[0][0].upper() + match[0][1:], word)


def _plain(text: str) -> str:
    """Without case, accents and punctuation, so that near spellings meet."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[\W_]+", " ", "".join(c for c in apart if not unicodedata.combining(c))).strip()


@cache
def _folded(choices: tuple[str, ...]) -> dict[str, str]:
    return {spelling.casefold(): spelling for spelling in choices}


@cache
def _countries() -> dict[str, str]:
    """Everything that names a country of today, and its code. Codes win over names."""
    found: dict[str, str] = {}
    for entry in pycountry.countries:
        for words in _names_of(entry):
            found.setdefault(_plain(words), entry.alpha_2)
    found |= {_plain(code): alpha_2 for code, alpha_2 in CODES_IN_USE.items()}
    for entry in pycountry.countries:
        found[_plain(entry.alpha_2)] = found[_plain(entry.alpha_3)] = entry.alpha_2
    return found


@cache
def _currencies() -> dict[str, str]:
    codes = {str(entry.alpha_3) for entry in pycountry.currencies} | WITHDRAWN_CURRENCIES
    return {code.casefold(): code for code in codes - NO_CURRENCY}


def _names_of(entry: object) -> Iterator[str]:
    kinds = ("name", "official_name", "common_name")
    names = [getattr(entry, kind) for kind in kinds if hasattr(entry, kind)]
    yield from names
    for language in LANGUAGES:
        translate = _translations("iso3166-1", language)
        yield from (translate(words) for words in names)


@cache
def _translations(domain: str, language: str) -> Callable[[str], str]:
    return gettext.translation(
        domain, pycountry.LOCALES_DIR, languages=[language], fallback=True
    ).gettext


@cache
def _regions(country_code: str) -> dict[str, str]:
    found = {_plain(n): code for (of, n), code in REGIONS_IN_USE.items() if of == country_code}
    entries = pycountry.subdivisions.get(country_code=country_code) or ()  # type: ignore[no-untyped-call]
    for entry in entries:
        names = [entry.name, *(_translations("iso3166-2", lang)(entry.name) for lang in LANGUAGES)]
        for words in names:
            for part in (words, *re.split(r"[,/\[\]()]", words)):
                found.setdefault(_plain(part), entry.code)
    found.pop("", None)
    return found
