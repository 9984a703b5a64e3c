"""Escaping of text from files for printing."""

import re

__all__ = ["printable"]

# Control characters, line and paragraph separators, and marks that change the text direction.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with each control character as ``\xhh``, so that a file name cannot control the terminal or break a line.

    >>> print(printable("cam\x1b[31m1\n.jpg"))
    cam\x1b[31m1\x0a.jpg
    """
    return _UNSAFE.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)
