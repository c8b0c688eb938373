"""The same forest through JAX: on a GPU where there is one, else on the processor, where the own kernel is faster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from talik.upscaling.packed import Float32, Float64, Packed
from talik.upscaling.walk import LEAF, MAX_NODES

if TYPE_CHECKING:
    import jax

_EVERY = np.uint64(2**64 - 1)
ROWS = 1 << 18
"""Rows sent to the device at a time."""


class DeviceForest:
    """A forest on a JAX device. Predictions equal those of `Trees.predict` bit for bit.

    Every row of a batch goes down one tree, a level a step, and the leaf values are added up in float64 in the order
    of the trees, as on the processor.
    """

    def __init__(self, forest: Packed, device: jax.Device | None = None) -> None:
        import jax

        size = np.diff(forest.offset)
        shape = forest.n_trees, int(size.max())
        at = np.repeat(np.arange(forest.n_trees), size), np.concatenate([np.arange(n) for n in size])
        feature = ((forest.words >> np.uint64(20)) & np.uint64(LEAF)).astype(np.int32)
        inner = feature != LEAF
        high = (forest.words >> np.uint64(32)).astype(np.uint32)
        by_level = inner & ((forest.words & np.uint64(MAX_NODES)) != 0)
        # a leaf leads to itself: nothing is above infinity, and every level goes left
        threshold = np.where(inner & ~by_level, high.view(np.float32), np.float32(np.inf))
        left = np.where(inner, (forest.words & np.uint64(MAX_NODES - 1)).astype(np.int32), at[1])
        self.by_level = bool(by_level.any())
        self.depth, self.n_trees = forest.depth, forest.n_trees
        with jax.enable_x64(True):
            trees: dict[str, Any] = {
                "feature": _padded(shape, at, np.where(inner, feature, 0), np.int32),
                "threshold": _padded(shape, at, threshold, np.float32),
                "left": _padded(shape, at, left, np.int32),
                "value": _padded(shape, at, forest.value, np.float64),
            }
            if self.by_level:
                sets = forest.sets[np.where(by_level, high, 0)]
                trees["levels"] = _padded(shape, at, np.where(by_level, sets, _EVERY), np.uint64)
                trees["kind"] = _padded(shape, at, by_level, np.bool_)
            self.device = device or jax.devices()[0]
            self._trees = jax.device_put(trees, self.device)
            self._run = jax.jit(partial(_predict, depth=self.depth, by_level=self.by_level))

    def predict(self, x: Float32, rows: int = ROWS) -> Float64:
        """(n,) mean over trees of the leaf value for x (n, p) float32, `rows` at a time."""
        import jax

        out = np.empty(len(x))
        with jax.enable_x64(True):
            for a in range(0, len(x), rows):
                part = x[a : a + rows]
                whole = np.zeros(
                    (min(rows, max(len(x), 1)), x.shape[1]), np.float32
                )  # one shape: one compilation
                whole[: len(part)] = part
                total = self._run(self._trees, jax.device_put(whole, self.device))
                out[a : a + rows] = np.asarray(total)[: len(part)] / self.n_trees
        return out


def gpu() -> Any | None:
    """The first GPU that JAX sees, or None."""
    import jax

    try:
        return jax.devices("gpu")[0]
    except RuntimeError:
        return None


def _predict(trees: dict[str, Any], x: Any, *, depth: int, by_level: bool) -> Any:
    import jax
    import jax.numpy as jnp

    rows = jnp.arange(x.shape[0])

    def one_tree(total: Any, tree: dict[str, Any]) -> tuple[Any, None]:
        def one_level(_: Any, at: Any) -> Any:
            value = x[rows, tree["feature"][at]]
            right = value > tree["threshold"][at]
            if by_level:
                goes_left = (tree["levels"][at] >> value.astype(jnp.uint64)) & jnp.uint64(1)
                right = jnp.where(tree["kind"][at], goes_left == 0, right)
            return tree["left"][at] + right.astype(jnp.int32)

        at = jax.lax.fori_loop(0, depth, one_level, jnp.zeros(x.shape[0], jnp.int32))
        return total + tree["value"][at], None

    total, _ = jax.lax.scan(one_tree, jnp.zeros(x.shape[0], jnp.float64), trees)
    return total


def _padded(shape: tuple[int, int], at: Any, values: Any, dtype: Any) -> Any:
    out = np.zeros(shape, dtype)
    out[at] = values
    return out
