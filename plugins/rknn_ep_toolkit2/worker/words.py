"""What the toolkit wrote, made readable: without colours, and the lines in which it complains."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COMPLAINT = re.compile(
    r"^(?:E (?:RKNN|\w+)\b|F RKNN|\w*(?:Error|Exception)\b: |\[?FATAL|.*(?:Assertion|terminate called|what\(\):|Aborted))"
)
_PREFIX = re.compile(r"^E \w+: (?:\[[\d:.]+\] )?|^E RKNN: \[[\d:.]+\] ")
_MOST_LINES = 6
_LONGEST_LINE = 400


def cleaned(text: str) -> str:
    """Without ANSI colours and without the lines that a progress bar overwrote."""
    plain = _ESCAPE.sub("", text)
    return "\n".join(line.rstrip().rsplit("\r", 1)[-1] for line in plain.split("\n")).strip()


def complaints(text: str) -> str:
    """The lines of a cleaned log in which the toolkit says what it did not like, each once, the last few."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if _COMPLAINT.match(stripped) and (said := _PREFIX.sub("", stripped)[:_LONGEST_LINE].strip(" =-")):
            found[said] = None
    return "\n".join(list(found)[-_MOST_LINES:])


def last_words(text: str) -> str:
    """The last complaint, else the last line."""
    lines = (complaints(text) or text).strip().splitlines()
    return lines[-1][:_LONGEST_LINE].strip() if lines else ""
