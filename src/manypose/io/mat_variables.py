"""Reader of MATLAB's .mat files of versions 5 to 7 that checks every length before it is used.

SciPy's reader trusts the file's counts and type codes, so that a damaged or hostile file crashes the process. This reader supports
numbers, text, cells and structs. Format: MathWorks, "MAT-File Level 5 File Format".
"""

import math
import zlib
from collections.abc import Iterator
from struct import Struct, error
from typing import Any

import numpy as np

__all__ = ["read_variables", "simplified"]

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type codes of stored numbers."""

CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Class codes of MATLAB's numbers, which may be stored in fewer bytes."""

TEXTS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCT, TEXT = 1, 2, 4
MATRIX, COMPRESSED = 14, 15
COMPLEX, LOGICAL = 0x0800, 0x0200

DEPTH = 32
"""Largest nesting depth of cells."""

LARGEST = 2**30
"""Largest size of a decompressed variable in bytes."""


def read_variables(content: bytes, largest: int = LARGEST) -> Iterator[tuple[str, Any]]:
    """Each variable's name and value: an array of numbers, text, or an array of cells (objects) or of structs (dictionaries).

    Variables of other classes, such as sparse matrices, are None.

    Raises:
        ValueError: the file is damaged, of another version, or has a variable larger than `largest` bytes.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) < 128:
        raise ValueError("no header of version 5 to 7")
    if content[125 if order == "<" else 124] != 1:
        raise ValueError("it is of version 7.3, an HDF5 file")
    word, rest = Struct(order + "II"), memoryview(content)[128:]
    while len(rest):
        kind, data, end = _part(word, rest)
        rest = rest[end:]
        if kind == COMPRESSED:
            kind, data, _ = _part(word, memoryview(_decompressed(data, largest)))
        if kind != MATRIX:
            raise ValueError(f"a variable of unknown type {kind}")
        yield _matrix(word, data, 0)


def simplified(value: Any) -> Any:
    """The value with singleton dimensions removed and arrays of one element replaced by that element."""
    if not isinstance(value, np.ndarray):
        return {k: simplified(v) for k, v in value.items()} if isinstance(value, dict) else value
    if value.size == 1:
        return simplified(value.item())
    if value.dtype == object:
        flat = np.empty(value.size, object)
        for i, element in enumerate(value.flat):
            flat[i] = simplified(element)
        value = flat.reshape(value.shape)
    return value.squeeze() if value.size else value.reshape(-1)


def _decompressed(data: memoryview, largest: int) -> bytes:
    reader = zlib.decompressobj()
    try:
        found = reader.decompress(data, largest)
    except zlib.error as e:
        raise ValueError(f"damaged compressed data: {e}") from None
    if reader.unconsumed_tail or not reader.eof:
        raise ValueError(f"compressed data are truncated, or larger than {largest >> 20} MB")
    return found


def _part(word: Struct, data: memoryview) -> tuple[int, memoryview, int]:
    """The first data element: its type code, its content, and the offset of the next one."""
    try:
        kind, size = word.unpack_from(data)
    except error:
        raise ValueError("truncated") from None
    if kind >> 16:  # small data element format: up to four bytes stored in the tag
        kind, size, begin, end = kind & 0xFFFF, kind >> 16, 4, 8
        whole = size <= 4
    else:
        begin, end = 8, 8 + size + (-size % 8 if kind != COMPRESSED else 0)
        whole = 8 + size <= len(data)
    if not whole:
        raise ValueError("a data element is longer than its container")
    return kind, data[begin : begin + size], end


def _numbers(word: Struct, data: memoryview) -> tuple[np.ndarray, int]:
    """The numbers of the first data element, and the offset of the next one."""
    kind, content, end = _part(word, data)
    if kind not in NUMBERS or len(content) % int(NUMBERS[kind][1]):
        raise ValueError(f"numbers of unknown type {kind}, or truncated")
    return np.frombuffer(content, word.format[0] + NUMBERS[kind]), end


def _matrix(word: Struct, data: memoryview, depth: int) -> tuple[str, Any]:
    """The name and value of a matrix."""
    if not len(data):
        return "", np.zeros((0, 0))
    if depth > DEPTH:
        raise ValueError(f"cells nested more than {DEPTH} deep")
    head = list(Struct(word.format[0] + "6I").unpack_from(data)) if len(data) >= 24 else []
    if head[:2] != [6, 8] or head[4] != 5:
        raise ValueError("flags or sizes of a matrix are damaged")
    sizes, at = _numbers(word, data[16:])
    _, name, end = _part(word, data[16 + at :])
    data, flags = data[16 + at + end :], head[2]
    shape = tuple(int(size) for size in sizes)
    if not 2 <= len(shape) <= 32 or min(shape) < 0:
        raise ValueError("sizes of a matrix are damaged")
    kind, count, told = flags & 0xFF, math.prod(shape), bytes(name).decode("latin-1")
    if kind in (CELL, STRUCT):
        return told, _elements(word, data, kind == STRUCT, shape, count, depth)
    if kind == TEXT:
        return told, _text(word, data, shape, count)
    if kind not in CLASSES:
        return told, None
    real, end = _numbers(word, data)
    if len(real) != count:
        raise ValueError(f"{len(real)} numbers in a matrix of {count}")
    value = real.astype(CLASSES[kind])
    if flags & COMPLEX:
        other, _ = _numbers(word, data[end:])
        if len(other) != count:
            raise ValueError("a complex matrix is truncated")
        value = value + 1j * other
    return told, (value.astype(bool) if flags & LOGICAL else value).reshape(shape, order="F")


def _elements(word: Struct, data: memoryview, struct: bool, shape: tuple[int, ...], count: int, depth: int) -> np.ndarray:
    """An array of cells, or of structs as dictionaries."""
    names: list[str] = []
    if struct:
        length, end = _numbers(word, data)
        _, text, more = _part(word, data[end:])
        data = data[end + more :]
        if len(length) != 1 or length[0] < 1 or len(text) % length[0]:
            raise ValueError("the names of a struct's fields are damaged")
        size = int(length[0])
        names = [bytes(text[i : i + size]).split(b"\0")[0].decode("latin-1") for i in range(0, len(text), size)]
    if count * max(len(names), 1) * 8 > len(data) and count > (1 if struct and not names else 0):
        raise ValueError(f"{count} cells or structs do not fit in {len(data)} bytes")

    def one() -> Any:
        nonlocal data
        kind, content, end = _part(word, data)
        if kind != MATRIX:
            raise ValueError(f"a cell of unknown type {kind}")
        data = data[end:]
        return _matrix(word, content, depth + 1)[1]

    values = np.empty(count, object)
    for i in range(count):
        values[i] = {name: one() for name in names} if struct else one()
    return values.reshape(shape, order="F")


def _text(word: Struct, data: memoryview, shape: tuple[int, ...], count: int) -> Any:
    """A string, or an array of strings for a character matrix."""
    if not count:
        return ""
    kind, content, _ = _part(word, data)
    if kind in TEXTS:
        order = "" if kind == 16 else "-le" if word.format[0] == "<" else "-be"
        text = bytes(content).decode(TEXTS[kind] + order, "replace")
    else:
        codes = _numbers(word, data)[0].astype(np.int64)
        if len(codes) and not 0 <= codes.min() <= codes.max() < 0x110000:
            raise ValueError("text with invalid character codes")
        text = "".join(map(chr, codes.tolist()))
    if len(text) != count:
        raise ValueError(f"{len(text)} characters in a text of {count}")
    lines = shape[0]
    return text if lines == 1 or len(shape) > 2 else np.array([text[i::lines] for i in range(lines)])
