"""The same forest through JAX: on a GPU where there is one, else on the processor, where the own kernel is faster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from talik.errors import ConfigError
from talik.upscaling.trees import Float32, Float64, Trees

if TYPE_CHECKING:
    import jax

ROWS = 1 << 18
"""Rows sent to the device at a time."""


class DeviceForest:
    """Trees on a JAX device. Predictions equal those of `Trees.predict` bit for bit.

    Every row of a batch goes down one tree, a level a step, and the leaf values are added up in float64 in the order
    of the trees, as on the processor.
    """

    def __init__(self, trees: Trees, device: jax.Device | None = None) -> None:
        jax = _jax()
        with jax.enable_x64(True):
            inner = trees.feature >= 0
            width = int(np.diff(trees.offset).max())
            shape = (trees.n_trees, width)
            at = (
                np.repeat(np.arange(trees.n_trees), np.diff(trees.offset)),
                np.concatenate([np.arange(n) for n in np.diff(trees.offset)]),
            )
            base = np.repeat(trees.offset[:-1], np.diff(trees.offset))
            packed: dict[str, Any] = {
                "feature": _padded(shape, at, np.where(inner, trees.feature, 0), np.int32),
                # a leaf leads to itself: nothing is above infinity, and every level goes left
                "threshold": _padded(shape, at, np.where(inner, trees.threshold, np.inf), np.float32),
                "left": _padded(shape, at, np.where(inner, trees.left - base, at[1]), np.int32),
                "value": _padded(shape, at, trees.value, np.float64),
            }
            is_split_by_level = inner & (trees.n_levels[np.maximum(trees.feature, 0)] > 0)
            self._by_level = bool(is_split_by_level.any())
            if self._by_level:
                levels = np.where(is_split_by_level, trees.levels, np.uint64(2**64 - 1))
                packed["levels"] = _padded(shape, at, levels, np.uint64)
                packed["kind"] = _padded(shape, at, is_split_by_level, np.bool_)
            self.device = device or jax.devices()[0]
            self._trees = jax.device_put(packed, self.device)
            self._depth = _depth(trees)
            self._n_trees = trees.n_trees
            self._run = jax.jit(partial(_predict, depth=self._depth, by_level=self._by_level))

    def predict(self, x: Float32, rows: int = ROWS) -> Float64:
        """(n,) mean over trees of the leaf value for x (n, p) float32, `rows` at a time."""
        jax = _jax()
        out = np.empty(len(x))
        with jax.enable_x64(True):
            for a in range(0, len(x), rows):
                part = x[a : a + rows]
                whole = np.zeros(
                    (min(rows, max(len(x), 1)), x.shape[1]), np.float32
                )  # one shape: one compilation
                whole[: len(part)] = part
                total = self._run(self._trees, jax.device_put(whole, self.device))
                out[a : a + rows] = np.asarray(total)[: len(part)] / self._n_trees
        return out


def gpu() -> Any | None:
    """The first GPU that JAX sees, or None (no JAX, or no GPU)."""
    try:
        import jax

        return jax.devices("gpu")[0]
    except (ImportError, RuntimeError):
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


def _depth(trees: Trees) -> int:
    from talik.upscaling.packed import Packed

    return Packed.of(trees).depth


def _jax() -> Any:
    try:
        import jax
    except ImportError as err:
        raise ConfigError(
            "JAX is not installed; pip install 'talik[gpu]' (or jax, for the processor)."
        ) from err
    return jax
