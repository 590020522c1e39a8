"""Functions that clean single values. Each is called for distinct values only.

`None` means that the value cannot be cleaned. Names, phone numbers and e-mail addresses that were
masked in the shop stay as they are.
"""

import gettext
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

import phonenumbers
import pycountry
from email_validator import EmailNotValidError, validate_email

from lakehouse.contracts.model import MASKED
from lakehouse.contracts.reference import (
    CODES_IN_USE,
    LANGUAGES,
    LOWER_CASE_WORDS,
    NO_CURRENCY,
    REGIONS_IN_USE,
    WITHDRAWN_CURRENCIES,
)

_SPACES = re.compile(r"\s+")
_PLAIN_EMAIL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9.-]+)", re.ASCII)
"""Addresses of which only the domain may be invalid."""
_LONGEST_EMAIL = 254
_WORD = re.compile(r"[^\W\d_]+")


def spaces(text: str) -> str | None:
    """Normalize to Unicode NFC, drop control characters, collapse and strip spaces."""
    if text.isascii() and text.isprintable():
        return _SPACES.sub(" ", text).strip() or None
    composed = unicodedata.normalize("NFC", text)
    visible = (" " if c.isspace() else c for c in composed)
    kept = "".join(c for c in visible if unicodedata.category(c) not in ("Cc", "Cf"))
    return _SPACES.sub(" ", kept).strip() or None


def name(text: str) -> str | None:
    """Capitalize a name, unless its mixed case shows that it was typed with care."""
    if MASKED.fullmatch(text):
        return text
    tidy = spaces(text)
    if tidy is None or not _is_careless(tidy):
        return tidy
    words = tidy.lower().split(" ")
    return " ".join(_capitals(word, is_first=n == 0) for n, word in enumerate(words))


def choice(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the allowed value that matches, ignoring case and extra spaces."""
    tidy = spaces(text)
    return None if tidy is None else _folded(choices).get(tidy.casefold())


def country(text: str) -> str | None:
    """Return ISO 3166-1 alpha-2 for a code, a former code, or a name in one of `LANGUAGES`."""
    tidy = spaces(text)
    return None if tidy is None else _countries().get(_plain(tidy))


def currency(text: str) -> str | None:
    """Return the ISO 4217 code, in any case, including those withdrawn since 1999."""
    tidy = spaces(text)
    return None if tidy is None else _currencies().get(tidy.casefold())


def phone(text: str, country_text: str | None) -> str | None:
    """Return E.164 (ITU-T). Without `+` or `00`, the number is a national one of the country."""
    if MASKED.fullmatch(text):
        return text
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
    """Return an RFC 5321 address in a public domain, in lower case."""
    if MASKED.fullmatch(text):
        return text
    tidy = text.strip()
    plain = _PLAIN_EMAIL.fullmatch(tidy) if len(tidy) <= _LONGEST_EMAIL else None
    if plain and _is_public(plain[1].lower()):
        return tidy.lower()
    return _validated(tidy)


def _validated(address: str) -> str | None:
    if "@" not in address:  # the library looks for it letter by letter, a second for a megabyte
        return None
    try:
        found = validate_email(address, check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


@lru_cache(maxsize=8192)
def _is_public(domain: str) -> bool:
    """Return whether a domain in lower case is one, as it is. Many addresses share it."""
    return _validated(f"a@{domain}") == f"a@{domain}"


def region_code(country_text: str, region_text: str | None) -> str | None:
    """Return ISO 3166-2 for a region's name within its country."""
    code, tidy = country(country_text), spaces(region_text or "")
    if code is None or tidy is None:
        return None
    return _regions(code).get(_plain(tidy))


def person_key(email_text: str, birth_date: str | None) -> str | None:
    """Return a hash that a person's accounts share; it does not reveal e-mail or birth date."""
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
    """Strip case, accents and punctuation, so that similar spellings match."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[\W_]+", " ", "".join(c for c in apart if not unicodedata.combining(c))).strip()


@cache
def _folded(choices: tuple[str, ...]) -> dict[str, str]:
    return {spelling.casefold(): spelling for spelling in choices}


@cache
def _countries() -> dict[str, str]:
    """Map every name and code of a present country to its code. Codes win over names."""
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
