"""Texts in double quotes as Go's strconv writes and reads them: keys of groups have them, and matchers."""

import re

_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES = {written[1]: character for character, written in _SHORT.items()} | {"\\": "\\", '"': '"'}
_ESCAPE = re.compile(
    rb'\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))', re.DOTALL
)
_PLAIN = re.compile(r"[ !#-\[\]-~]*")


def go_quote(text: str) -> str:
    """strconv.Quote."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    return '"' + "".join(_quoted(character) for character in text) + '"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_unquote(text: str) -> str:
    """strconv.Unquote of a text in double quotes. ValueError says what is wrong."""
    inner = text[1:-1]
    if "\n" in inner:
        raise ValueError(f"{text}: a line break inside double quotes is written \\n")
    try:
        return _ESCAPE.sub(_character, inner.encode()).decode()
    except UnicodeError as error:
        raise ValueError(f"{text}: not UTF-8") from error


def _character(found: "re.Match[bytes]") -> bytes:
    short, byte, octal, half, whole, _ = found.groups()
    if short:
        return _ESCAPES[short.decode()].encode()
    code = int(half or whole or b"-1", 16)
    if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
        return chr(code).encode()
    value = int(byte, 16) if byte else int(octal or b"777", 8)
    if value > 255:
        raise ValueError(f"{found.group().decode(errors='replace')}: no such escape; a backslash is \\\\")
    return bytes([value])
