"""Effects against designs whose answer is known on paper."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import ConfigError, InputError
from talik.tem.diagnose.effects import (
    Design,
    attribution,
    design_of,
    effect,
    effects,
    interaction,
    missing_pairs,
    shapley,
    terms,
)

FACTORS = ("PF", "CO2", "Temp", "Prec")
TEN = ("", "PF", "CO2", "Temp", "Prec", "PF&CO2", "PF&Prec", "CO2&Temp", "CO2&Prec", "Temp&Prec")
Value = Callable[[frozenset[str]], float]


def name(held: Iterable[str]) -> str:
    return "S_" + ("&".join(held) or "Trans")


def full(factors: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [s for n in range(len(factors) + 1) for s in itertools.combinations(factors, n)]


def world(sets: Iterable[tuple[str, ...]], value: Value) -> tuple[xr.DataArray, Design]:
    """value : of the set of factors that vary."""
    sets = list(sets)
    everything = frozenset(f for s in sets for f in s)
    data = xr.DataArray(
        [[value(everything - set(s)), 2.0 * value(everything - set(s))] for s in sets],
        dims=("experiment", "cell"),
        coords={"experiment": [name(s) for s in sets]},
    )
    return data, Design("S_Trans", {name(s): frozenset(s) for s in sets})


def ten_runs(value: Value) -> tuple[xr.DataArray, Design]:
    return world([tuple(filter(None, s.split("&"))) for s in TEN], value)


def test_identical_runs_have_exactly_no_effect() -> None:
    data, design = ten_runs(lambda _: 0.1 + 0.2)
    assert not effects(data, design).any()
    assert not terms(data, design).any()
    assert not attribution(data, design)["contribution"].any()


def test_additive_model_has_no_interaction_and_is_attributed_exactly() -> None:
    weight = {"PF": -2.0, "CO2": 8.0, "Temp": 4.0, "Prec": 0.5}
    data, design = ten_runs(lambda varying: 16.0 + sum(weight[f] for f in varying))
    for a, b in itertools.combinations(FACTORS, 2):
        if {a, b} != {"PF", "Temp"}:
            assert not interaction(data, design, a, b).any()
    change = xr.DataArray([10.5, 21.0], dims="cell")
    found = attribution(data, design, change)
    assert list(found.factor.values) == list(design.factors)
    for factor, expected in weight.items():
        np.testing.assert_array_equal(found.contribution.sel(factor=factor), [expected, 2 * expected])
        np.testing.assert_allclose(found["share"].sel(factor=factor), expected / 10.5)
    ranked = found["rank"].isel(cell=0).sortby(found["rank"].isel(cell=0)).factor.values
    assert list(ranked) == ["CO2", "Temp", "PF", "Prec"]
    np.testing.assert_array_equal(found.unexplained, 0.0)


def test_product_of_two_factors_has_the_interaction_of_paper_and_pencil() -> None:
    """v = x y with x: 2 -> 5 and y: 3 -> 7: E_X = 21, E_Y = 20, E_XY = 29, so I = -12; anchored at the reference."""
    data, design = world(
        full(("X", "Y")), lambda on: (5.0 if "X" in on else 2.0) * (7.0 if "Y" in on else 3.0)
    )
    one = data.isel(cell=0)
    assert effect(one, design, "X") == 21.0
    assert effect(one, design, "Y") == 20.0
    assert effect(one, design, ["Y", "X"]) == 29.0
    assert interaction(one, design, "X", "Y") == interaction(one, design, "Y", "X") == -12.0
    assert list(shapley(one, design).values) == [15.0, 14.0]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=8))
def test_shapley_values_are_the_mean_over_orders_and_sum_to_the_total(values: list[float]) -> None:
    factors = ("A", "B", "C")
    table = dict(zip(map(frozenset, full(factors)), values, strict=True))
    data, design = world(full(factors), table.__getitem__)
    found = shapley(data.isel(cell=0), design)
    for factor in factors:
        slow = 0.0
        for order in itertools.permutations(factors):
            before = frozenset(order[: order.index(factor)])
            slow += (table[before | {factor}] - table[before]) / math.factorial(3)
        np.testing.assert_allclose(found.sel(factor=factor), slow, rtol=1e-9, atol=1e-9)
    total = table[frozenset(factors)] - table[frozenset()]
    np.testing.assert_allclose(found.sum(), total, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(terms(data.isel(cell=0), design).sum(), total, rtol=1e-9, atol=1e-9)
    told = attribution(data.isel(cell=0), design)
    np.testing.assert_allclose(told.contribution, found)
    np.testing.assert_allclose(told.unexplained, 0.0, atol=1e-9)


@settings(max_examples=12, deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-50, 50))
def test_factors_that_do_the_same_get_the_same(none: float, one: float, three: float) -> None:
    by_count = [none, one, 2.0, three]
    data, design = world(full(("A", "B", "C")), lambda on: by_count[len(on)])
    found = shapley(data.isel(cell=0), design).values
    np.testing.assert_allclose(found, found[0], rtol=1e-9, atol=1e-9)


def test_ten_runs_leave_the_product_of_three_unexplained() -> None:
    """v = 1 where CO2, Temp and Prec all vary: each effect is 1, each pair interaction -1, the triple is not run."""
    data, design = ten_runs(lambda on: float({"CO2", "Temp", "Prec"} <= on))
    assert missing_pairs(design) == ("PF&Temp",)
    assert not design.complete
    found = attribution(data.isel(cell=0), design, xr.DataArray(1.0))
    assert [float(found.contribution.sel(factor=f)) for f in FACTORS] == [0.0, 0.0, 0.0, 0.0]
    assert float(found.unexplained) == 1.0
    unknown = attribution(data.isel(cell=0), design)
    assert math.isnan(float(unknown.unexplained))
    assert math.isnan(float(unknown["share"].sel(factor="CO2")))


def test_missing_runs_are_named() -> None:
    data, design = ten_runs(lambda on: float(len(on)))
    with pytest.raises(ConfigError, match="exactly PF&Temp fixed"):
        interaction(data, design, "PF", "Temp")
    with pytest.raises(ConfigError, match="no run has exactly PF&Temp fixed"):
        shapley(data, design)
    with pytest.raises(ConfigError, match="no run fixes Fire; the factors are"):
        effect(data, design, "Fire")
    with pytest.raises(ConfigError, match="no run has only B fixed"):
        attribution(*world([(), ("A",), ("A", "B")], lambda on: float(len(on))))
    with pytest.raises(ConfigError, match="no run beside the reference"):
        effects(*world([()], lambda on: 1.0))


def test_a_design_is_refused_if_two_runs_are_the_same_or_the_reference_is_fixed() -> None:
    with pytest.raises(ConfigError, match="'b' and 'c' both fix X"):
        Design("a", {"b": frozenset("X"), "c": frozenset("X")})
    with pytest.raises(ConfigError, match=r"reference 'a' has fixed factors \(X\)"):
        Design("a", {"a": frozenset("X")})


def test_the_design_is_read_from_the_attributes() -> None:
    data, design = ten_runs(lambda on: float(len(on)))
    ds = data.assign_attrs(units="kg m-2").to_dataset(name="npp")
    ds.attrs = {
        "reference": "S_Trans",
        "factors": json.dumps({k: sorted(v) for k, v in design.fixed.items() if v}),
    }
    assert design_of(ds) == design
    whole = effects(ds, design)
    assert whole["npp"].attrs == {"units": "kg m-2"}
    assert list(whole["factors"].values) == list(map(str, effects(data, design)["factors"].values))
    xr.testing.assert_equal(whole["npp"].drop_vars("factors"), effects(data, design).drop_vars("factors"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: ds.attrs.pop("factors"), "no global attribute 'factors'"),
        (lambda ds: ds.attrs.update(factors="[1"), "no JSON table"),
        (lambda ds: ds.attrs.update(factors="{}"), "says nothing of S_PF"),
        (lambda ds: ds.attrs.update(reference="S_All"), "'S_All' is not among the runs"),
    ],
)
def test_bad_attributes_are_told(change: Callable[[xr.Dataset], object], says: str) -> None:
    data, _ = ten_runs(lambda on: 0.0)
    ds = data.to_dataset(name="npp").assign_attrs(reference="S_Trans", factors="{}")
    ds.attrs["factors"] = json.dumps({n: [n] for n in map(str, ds.experiment.values)})
    change(ds)
    with pytest.raises(InputError, match=says):
        design_of(ds)


def test_dask_gives_the_same_and_computes_nothing_early(
    computing_nothing: Callable[[], AbstractContextManager[object]],
) -> None:
    data, design = ten_runs(lambda on: float(len(on)) ** 2)
    with computing_nothing():
        late = attribution(data.chunk(cell=1), design)
    xr.testing.assert_allclose(late.compute(), attribution(data, design))
