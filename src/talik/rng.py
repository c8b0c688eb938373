"""Random numbers that do not depend on who else draws."""

from __future__ import annotations

import hashlib

import numpy as np


def named_rng(seed: int, name: str) -> np.random.Generator:
    """The generator of one named unit or quantity under `seed`.

    The stream depends on `seed` and `name` alone, so adding a unit, changing the order or the number of
    workers changes no other unit's numbers. `seed` is a non-negative integer.
    """
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))
