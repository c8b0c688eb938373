"""Some columns of a block by themselves: those that are not done, when they have become few."""

from __future__ import annotations

from typing import TypeVar

import jax
import numpy as np
import numpy.typing as npt

_Tree = TypeVar("_Tree")

FEW = 8
"""Columns run by themselves when this number of times as many are done or more; one size, so one compilation."""


def still_to_do(done: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Indices of the columns to run: all, or where only few are not done those, some of them more than once."""
    todo, size = np.flatnonzero(~done), -(-done.size // FEW)
    return np.resize(todo, size) if 0 < todo.size <= size < done.size else np.arange(done.size)


def take(tree: _Tree, columns: npt.NDArray[np.intp], of: int) -> _Tree:
    """Some of the `of` columns of every array whose last axis has them."""
    part: _Tree = jax.tree.map(lambda a: a[..., columns] if np.shape(a)[-1:] == (of,) else a, tree)
    return part


def put(tree: _Tree, part: _Tree, columns: npt.NDArray[np.intp]) -> _Tree:
    """The arrays with some columns replaced."""
    whole: _Tree = jax.tree.map(lambda a, b: a.at[..., columns].set(b), tree, part)
    return whole
