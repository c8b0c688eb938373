"""Columns that run by themselves."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talik.tem.subset import FEW, put, still_to_do, take


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_every_column_that_is_not_done_runs_and_few_run_alone(done: list[bool]) -> None:
    mask = np.array(done)
    at = still_to_do(mask)
    assert set(np.flatnonzero(~mask)) <= set(at.tolist())
    assert at.size in (mask.size, -(-mask.size // FEW))
    if at.size < mask.size:
        assert not mask[at].any()


def test_what_is_taken_is_put_back_and_nothing_else_changes() -> None:
    tree = {
        "by column": jnp.arange(24.0).reshape(2, 12),
        "number": jnp.asarray(4.0),
        "months": jnp.arange(11.0),
    }
    at = np.array([3, 7, 3])
    part = take(tree, at, 12)
    assert part["by column"].tolist() == [[3.0, 7.0, 3.0], [15.0, 19.0, 15.0]]
    assert part["number"] is tree["number"]
    assert part["months"] is tree["months"]
    back = put(tree["by column"], -part["by column"], at)
    expected = np.arange(24.0).reshape(2, 12)
    expected[:, [3, 7]] *= -1
    np.testing.assert_array_equal(np.asarray(back), expected)
