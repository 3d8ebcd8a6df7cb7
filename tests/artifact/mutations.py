"""Damaged copies of a file's bytes: many from one seed, so that thousands cost seconds."""

import random
from collections.abc import Iterator

from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)
_TELLING = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def mutated(content: bytes, seed: int, count: int = 25, densest: int = 0) -> Iterator[bytes]:
    """`count` copies, each with bytes set, inserted, deleted or cut; half of them within the first `densest` bytes."""
    chance = random.Random(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 3, 12))):
            limit = densest if densest and chance.random() < 0.5 else len(changed)
            where = chance.randrange(max(1, min(limit, len(changed))))
            if chance.random() < 0.3:
                where = max(0, len(changed) - 1 - chance.randrange(400))
            kind = chance.random()
            if kind < 0.75 and changed:
                changed[where] = chance.choice((*_TELLING, chance.randrange(256)))
            elif kind < 0.85:
                changed.insert(where, chance.randrange(256))
            elif kind < 0.95:
                del changed[where : where + chance.randrange(1, 3000)]
            else:
                del changed[where:]
        if bytes(changed) != content:
            yield bytes(changed)
