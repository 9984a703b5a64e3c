"""Files and JSON values with something wrong in them, drawn by Hypothesis."""

import copy
from typing import Any

from hypothesis import strategies as st

__all__ = ["spoil", "spoiled_bytes"]

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**63, -(2**63) - 1, 10**400, float("nan"), float("inf"), -0.0, 1e300]),
    st.text(max_size=3), st.lists(st.integers(0, 3), max_size=4), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)  # fmt: skip


def spoil(data: st.DataObject, content: Any) -> Any:
    """The content with one part, at any depth, replaced, left out or doubled."""
    content = copy.deepcopy(content)
    here = content
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return data.draw(ODD)
        key = data.draw(st.sampled_from(keys))
        if isinstance(here[key], (dict, list)) and here[key] and data.draw(st.booleans()):
            here = here[key]
            continue
        how = data.draw(st.sampled_from(["replace", "remove", "double"]))
        if how == "replace":
            here[key] = data.draw(ODD)
        elif how == "remove":
            del here[key]
        elif isinstance(here, list):
            here.append(copy.deepcopy(here[key]))
        return content


KINDS = st.sampled_from(["set", "insert", "delete", "cut", "repeat", "large"])
EDITS = st.lists(st.tuples(st.floats(0, 1), KINDS, st.integers(0, 255)), min_size=1, max_size=6)


def spoiled_bytes(data: st.DataObject, content: bytes) -> bytes:
    """The bytes with some changed, added, left out, repeated, or cut off, more often near the start, where headers are."""
    for where, how, value in data.draw(EDITS):
        i = int(where**2 * len(content))
        if how == "set":
            content = content[:i] + bytes([value]) + content[i + 1 :]
        elif how == "insert":
            content = content[:i] + bytes([value] * (1 + value % 5)) + content[i:]
        elif how == "delete":
            content = content[:i] + content[i + 1 + value :]
        elif how == "cut":
            content = content[:i]
        elif how == "repeat":
            content = content[:i] + content[max(0, i - value) : i] + content[i:]
        else:
            content = content[:i] + b"\xff\xff\xff\x7f" + content[i + 4 :]
    return content
