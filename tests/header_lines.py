"""The lines of config headers that say how to train another row of a table: their options, alternatives in brackets written out."""

import re
import shlex
from pathlib import Path

FIELD = re.compile(r"^# ([A-Z]\w+):\s+(.*)")
OPTION = r"--(?:model|schedule|optimizer|data|seed|precision|clip_norm|accumulate|skeleton|init)[\w.]*"
PAIR = re.compile(OPTION + r"(?:=|\s+)(?:\"[^\"]*\"|[^\s;,()\"]+)")
OTHERS = re.compile(r"\s*\(([^()]*)\)|((?:\s*;\s*\"\[[^\"]*\]\")+)")
ROWS = ("Tables", "Ablations", "Ours", "Arms", "Start", "Differs")
"""Fields whose options change the recipe."""


def fields(path: Path) -> dict[str, str]:
    """The header's fields, each as one line."""
    found: dict[str, str] = {}
    last = ""
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if match := FIELD.match(line):
            last = match[1]
            found[last] = match[2]
        elif last:
            found[last] += " " + line[1:].strip()
    return found


def rows(path: Path) -> list[list[str]]:
    """The options of each row, as words; those of other verbs (``manypose evaluate …``) are left out."""
    found: list[list[str]] = []
    for name, text in fields(path).items():
        if name not in ROWS:
            continue
        at = 0
        while pair := PAIR.search(text, at):
            run, start = [pair[0]], pair.start()
            at = pair.end()
            while following := re.compile(r"\s+" + PAIR.pattern).match(text, at):
                run.append(following[0].strip())
                at = following.end()
            if re.search(r"manypose evaluate\s*$", text[:start]):
                continue
            found.append(_words(run))
            others = OTHERS.match(text, at)
            if others:
                values = others[1].split(",") if others[1] and not others[1].lstrip().startswith('"') else re.findall(r'"[^"]*"', others[0])
                option = re.split(r"=|\s+", run[-1], maxsplit=1)[0]
                plain = [v.strip() for v in values if re.fullmatch(r'"[^"]*"|[\w.+-]+', v.strip())]
                found += [_words([*run[:-1], f"{option} {value}"]) for value in plain]
    return [row for i, row in enumerate(found) if row not in found[:i]]


def _words(run: list[str]) -> list[str]:
    pairs = (pair.replace("=", " ", 1) if "=" in pair.split()[0] else pair for pair in run)
    return [word.rstrip(".") for pair in pairs for word in shlex.split(pair)]
