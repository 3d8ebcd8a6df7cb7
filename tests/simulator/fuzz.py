"""Feeds damaged bundles to the library until it has seen enough: `python -m tests.simulator.fuzz BUNDLE COUNT SEED`.

Half of the damage is to the file as it is, which checksums mostly catch; the other half is to one entry, with the
container made good again around it, so that every parser behind the checksums sees it. Prints how many were taken.
"""

from __future__ import annotations

import io
import os
import random
import sys
import zipfile
from pathlib import Path

import numpy as np

from tests.simulator import driver

KNOWN_CODES = set(range(-14, 1))
INTERESTING = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"=",
    b"\n",
    b"%",
    b",",
    b"-1",
]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four small changes."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + 1] = bytes([data[at] ^ 1 << rng.randrange(8)]) if data else b""
            case 2:
                data[at:at] = rng.choice(INTERESTING)
            case 3:
                chosen = rng.choice(INTERESTING)
                data[at : at + len(chosen)] = chosen
            case 4:
                del data[at : at + rng.randint(1, 64)]
            case _:
                begin = rng.randrange(len(data)) if data else 0
                data[at:at] = data[begin : begin + rng.randint(1, 32)]
    return bytes(data)


def rebuilt(content: bytes, rng: random.Random) -> bytes:
    """The bundle with one entry damaged under checksums that are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        names = [name for name in whole.namelist() if name != "manifest.json"]
        target = rng.choice([*names, "native.txt", "native.txt"])
        for name in names:
            part = whole.read(name)
            made.writestr(name, damaged(part, rng) if name == target else part)
    return buffer.getvalue()


def main() -> None:
    path, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    whole = path.read_bytes()
    rng = random.Random(seed)
    library = driver.load()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    taken = 0
    for index in range(count):
        content = damaged(whole, rng) if index % 2 else rebuilt(whole, rng)
        if index % 5 == 0:
            path.with_suffix(".damaged").write_bytes(content)
            code, handle = driver.init_code(library, path.with_suffix(".damaged"))
        else:
            code, handle = driver.init_code(library, content)
        if code not in KNOWN_CODES:
            raise SystemExit(f"mutation {index} of seed {seed}: rknn_init returned {code}")
        if code == 0:
            taken += 1
            use(library, handle)
    print(taken)


def use(library: object, handle: int) -> None:
    """Do with a context what a program does; nothing needs to succeed."""
    context = driver.Context.__new__(driver.Context)
    context.library, context.handle = library, handle  # type: ignore[assignment]
    try:
        numbers = context.query(driver.IN_OUT_NUM, driver.InputOutputNum())
        attrs = [context.attr(driver.INPUT_ATTR, index) for index in range(numbers.n_input)]
        arrays = [np.zeros(attr.shape, np.float32) for attr in attrs]
        context.set_inputs(arrays, driver.NHWC)
        context.run()
        context.get_outputs()
        context.get_outputs(want_float=False)
    except driver.RknnError:
        pass
    finally:
        context.destroy()


if __name__ == "__main__":
    main()
