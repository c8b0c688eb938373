"""Newton's method for the state that a repeated year leads to, column by column.

`newton_step` knows a map and nothing of the model; `coordinates` are what `solve` moves in the model; `repeat` runs
plain years.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from talik.tem import model
from talik.tem.model import Forcing, Parameters, Settings, State
from talik.tem.thermal.year import SoilClimate

Array = jax.Array
_Tree = TypeVar("_Tree")

MAP_YEARS = 2
"""Years of one map: in the second, decomposition and phenology know the litter and the leaves of the first."""
SETTLE_YEARS = 2
"""Plain years after each step, in which the pools that turn over fast find their balance with the others."""
LARGEST_STEP = 0.5
"""Of any logarithm of a pool."""
CONVERGED = 1e-4
"""A column has converged when the step that is left changes no logarithm by more."""
LABILE_OFFSET = 0.01
"""g N m-2. Labile nitrogen may be nothing at all, where a logarithm has no value."""


class Solved(NamedTuple):
    """Where Newton's method ended: the state, the steps that each column took, and whether it converged."""

    state: State
    steps: np.ndarray
    converged: np.ndarray


def coordinates(state: State) -> Array:
    """(5, cell): ln C_V, ln N_VS, ln C_S, ln N_A and ln(N_VL + 0.01 g m-2); pools g m-2."""
    p = state.pools
    return jnp.log(jnp.stack([p.C_V, p.N_VS, p.C_S, p.N_A, p.N_VL + LABILE_OFFSET]))


def with_coordinates(state: State, x: Array, parameters: Parameters) -> State:
    """The state with the pools of `coordinates`, and soil nitrogen at the C:N of soil; all else as it was."""
    c_v, n_vs, c_s, n_a, n_vl = jnp.exp(x)
    pools = state.pools._replace(
        C_V=c_v,
        N_VS=n_vs,
        C_S=c_s,
        N_A=n_a,
        N_VL=jnp.maximum(n_vl - LABILE_OFFSET, 0.0),
        N_S=c_s / parameters.plants.cnsoil,
    )
    return state._replace(pools=pools)


def newton_step(phi: Callable[[Array], tuple[Array, _Tree]], x: Array) -> tuple[Array, Array, _Tree, Array]:
    """A damped step towards the fixed point of a map, its size before damping, what else the map returned, Jacobian.

    phi : (n, cell) to its image (n, cell) and a tree that is not differentiated; column i of the image depends on
    column i only. x : (n, cell). Step (n, cell), size (cell,), Jacobian (cell, n, n). It is exact: n tangents in
    forward mode serve all columns. Where it has no use (not finite) the step is the map's own; no component moves by
    more than `LARGEST_STEP`. A component that the map drives apart (its own derivative above 1) has no fixed point
    nearby that plain running would reach; if the step goes against its motion, it goes `LARGEST_STEP` with it instead.
    """
    tangents = jnp.eye(x.shape[0], dtype=x.dtype)

    def along(tangent: Array) -> tuple[Array, Array, _Tree]:
        image: tuple[Array, Array, _Tree] = jax.jvp(
            phi, (x,), (jnp.broadcast_to(tangent[:, None], x.shape),), has_aux=True
        )
        return image

    image, columns, rest = jax.vmap(along, out_axes=(None, 0, None))(tangents)
    jacobian = jnp.moveaxis(columns, (0, 1, 2), (2, 1, 0))
    motion = image - x
    full = jnp.linalg.solve(tangents - jacobian, motion.T[..., None])[..., 0].T
    full = jnp.where(jnp.isfinite(full).all(axis=0), full, motion)
    size = jnp.abs(full).max(axis=0)
    step = full * jnp.minimum(1.0, LARGEST_STEP / jnp.maximum(size, LARGEST_STEP))
    apart = (jnp.diagonal(jacobian, axis1=1, axis2=2).T > 1.0) & (step * motion < 0.0)
    return jnp.where(apart, LARGEST_STEP * jnp.sign(motion), step), size, rest, jacobian


def solve(
    state: State,
    forcing: Forcing,
    soil: SoilClimate,
    parameters: Parameters,
    settings: Settings,
    done: np.ndarray,
    most: int,
) -> Solved:
    """The state that years of one forcing and soil climate lead to, by at most so many steps of Newton's method.

    done : (cell,) columns that stay as they are, as those without plants; they count as converged. A column stops by
    itself; the last step, too small to matter, is not taken. settings : with `baseline`, to which soil nitrogen is
    slaved. Every step costs `MAP_YEARS` years with five tangents, and `SETTLE_YEARS` plain ones.
    """
    converged = np.array(done)
    steps = np.zeros(converged.size, int)
    for _ in range(most):
        if converged.all():
            break
        moved, size = _one_step(state, forcing, soil, parameters, settings)
        moved, _ = repeat(moved, forcing, soil, parameters, settings, SETTLE_YEARS)
        steps += ~converged
        now = converged | (np.asarray(size) < CONVERGED)
        state = jax.tree.map(partial(jnp.where, jnp.asarray(now)), state, moved)
        converged = now
    return Solved(state, steps, converged)


@partial(jax.jit, static_argnames=("settings",))
def _one_step(
    state: State, forcing: Forcing, soil: SoilClimate, parameters: Parameters, settings: Settings
) -> tuple[State, Array]:
    """The state after a step of Newton's method, and the step's size before damping (cell,)."""

    def phi(x: Array) -> tuple[Array, State]:
        after, _ = repeat(
            with_coordinates(state, x, parameters), forcing, soil, parameters, settings, MAP_YEARS
        )
        return coordinates(after), after

    x = coordinates(state)
    step, size, after, _ = newton_step(phi, x)
    return with_coordinates(after, x + step, parameters), size


class Change(NamedTuple):
    """What a year changed, each (cell,): the largest change of a carbon pool, or gain or loss of the ecosystem,
    g C m-2; the largest change of a nitrogen pool, g N m-2."""

    carbon: Array
    nitrogen: Array


class Changes(NamedTuple):
    """Changes in the last of some years, and in the year in which they were largest."""

    last: Change
    largest: Change


@partial(jax.jit, static_argnames=("settings",))
def repeat(
    state: State,
    forcing: Forcing,
    soil: SoilClimate,
    parameters: Parameters,
    settings: Settings,
    years: int | Array,
) -> tuple[State, Changes]:
    """The state after one or more plain years of the same forcing and soil climate, and what they changed."""

    def year(_: int | Array, carry: tuple[State, Changes]) -> tuple[State, Changes]:
        before, changes = carry
        after, fluxes = model.biogeochemistry_step(before, forcing, soil, parameters, settings)
        p, q = before.pools, after.pools
        carbon = [q.C_V - p.C_V, q.C_S - p.C_S, fluxes.nep.sum(axis=0)]
        nitrogen = [getattr(q, name) - getattr(p, name) for name in ("N_VS", "N_VL", "N_S", "N_A")]
        now = Change(*(jnp.abs(jnp.stack(c)).max(axis=0) for c in (carbon, nitrogen)))
        return after, Changes(now, jax.tree.map(jnp.maximum, changes.largest, now))

    nothing = Change(jnp.zeros_like(state.pools.C_V), jnp.zeros_like(state.pools.C_V))
    done: tuple[State, Changes] = lax.fori_loop(0, years, year, (state, Changes(nothing, nothing)))
    return done
