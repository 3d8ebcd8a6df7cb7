"""What the toolkit wrote, made readable: without colours, and the lines in which it complains."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LOGGED = re.compile(r"^[EF] (?:RKNN: (?:\[[\d:.]+\] )?|\w+: )(?P<words>.*)")
"""The toolkit's own error lines: 'E build: ...' from Python, 'E RKNN: [10:11:12.345] ...' from the native compiler."""
_RAISED = re.compile(r"^(?P<type>[\w.]*(?:Error|Exception|Interrupt)): (?P<words>.*)")
_NATIVE = re.compile(r"^(?:terminate called|what\(\):|.*Assertion .* failed|.*undefined symbol)")
_EMPTY = re.compile(r"^(?:Traceback|rknn-toolkit2 version|Catch exception|=+|$)")
_CONTINUES = re.compile(r'^\s{8,}(?!File "|\^|~)\S')
_MOST_LINES = 6
_LONGEST_LINE = 300


def cleaned(text: str) -> str:
    """Without ANSI colours, without what a progress bar overwrote, without lists of loaded modules."""
    lines = (line.rstrip().rsplit("\r", 1)[-1] for line in _ESCAPE.sub("", text).split("\n"))
    return "\n".join(line for line in lines if not line.startswith("Extension modules: ")).strip()


def complaints(text: str) -> str:
    """The lines of a cleaned log in which the toolkit says what it did not like, each once, the last few."""
    found: dict[str, None] = {}
    goes_on = False
    for line in text.splitlines():
        words = line.strip() if goes_on and _CONTINUES.match(line) else _complaint(line.strip())
        goes_on = bool(words)
        if words:
            found[words[:_LONGEST_LINE]] = None
    return "\n".join(list(found)[-_MOST_LINES:])


def last_words(text: str) -> str:
    """The last complaint, else the last line."""
    lines = (complaints(text) or text).strip().splitlines()
    return lines[-1][:_LONGEST_LINE].strip() if lines else ""


def _complaint(line: str) -> str:
    """What a line complains of, without the decoration; empty for all other lines."""
    if raised := _RAISED.match(line):
        words, kind = raised["words"], raised["type"].rpartition(".")[2]
        # The toolkit wraps whatever went wrong in a ValueError: its name says nothing.
        return "" if _EMPTY.match(words) else words if kind == "ValueError" else f"{kind}: {words}"
    if logged := _LOGGED.match(line):
        return _complaint(logged["words"]) or ("" if _EMPTY.match(logged["words"]) else logged["words"].strip())
    return line if _NATIVE.match(line) else ""
