"""Where an e-mail address stands in a text; what that means is told in `gdpr.subjects`."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import quote

# A letter may be written as one character or with its accent behind it.
_LETTER = r"[\w\u0300-\u036f]"
_LABEL = rf"{_LETTER}(?:(?:{_LETTER}|-)*{_LETTER})?"
ADDRESS = re.compile(rf"(?:{_LETTER}|[.!#$%&'*+/=?^`{{|}}~-])+@{_LABEL}(?:\.{_LABEL})*")
"""What may be asked for: RFC 5321's unquoted local part and domain name, with RFC 6531's letters beyond ASCII."""

# "<" is %3C in a URL and \u003c in the JSON of some languages: the letters of an escape are none of an address.
_ENDED = "|".join(f"{code:02x}" for code in range(128) if not re.match(r"[\w.+'-]", chr(code)))
# So is that of a line break in a JSON text within a text, although "CORP\nada" may be a user's name, too: an address
# too many is the lesser evil.
_ESCAPES = rf"(?<=(?i:%(?:{_ENDED})))|(?<=(?i:\\u00(?:{_ENDED})))|(?<=\\[nrtbf])"
_BEFORE = rf"(?:(?<!{_LETTER})(?<!{_LETTER}[.+'-])|{_ESCAPES})"
_AFTER = rf"(?!-*{_LETTER})(?!\.{_LETTER})"
_SMALL = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}


def pattern(addresses: Iterable[str]) -> re.Pattern[str]:
    """What finds any of `addresses` in a text."""
    written = "|".join("".join(map(_written, form)) for address in addresses for form in _forms(address))
    return re.compile(f"{_BEFORE}(?:{written}){_AFTER}")


def parts(address: str) -> Iterator[list[str]]:
    """Parts of which every text that holds the address holds all of one of the lists, its ASCII capitals made small.

    They are of ASCII only: which other letters are the same but for their case, each database knows in its own way.
    """
    for form in _forms(address):
        small = form.translate(_SMALL)
        yield re.findall(r"[\x00-\x7f]+", small)
        plain = re.findall(r"[a-z0-9._~-]+", small)  # nobody escapes these: RFC 3986, section 2.3
        yield ["%", *plain]
        yield ["\\u", *plain]


def _forms(address: str) -> list[str]:
    """As it is, and with its accents within or behind their letters: all look the same (Unicode Annex 15)."""
    return list(dict.fromkeys([address, *(unicodedata.normalize(form, address) for form in ("NFC", "NFD"))]))


def _written(character: str) -> str:
    """The ways to write a character: small or capital, escaped in a URL (RFC 3986, section 2.1) or in JSON."""
    cases = {character, character.lower(), character.upper(), character.upper().lower()}
    plain = {case for case in cases if len(case) == 1}
    to_escape = {case for case in plain if quote(case, safe="") != case}
    escaped = {quote(case, safe="") for case in to_escape} | {
        rf"\u{ord(case):04x}" for case in to_escape if case < "\U00010000"
    }
    ways = [*sorted(map(re.escape, plain)), *(f"(?i:{re.escape(escape)})" for escape in sorted(escaped))]
    return f"(?:{'|'.join(ways)})"
