"""Mass consistency against SLSQP, the optimality conditions, and hand-made covariances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from talik.errors import InputError
from talik.upscaling.consistency import error_covariance, joint_errors, make_consistent

A = np.array([1.0, 1.0, -1.0])
S = np.array([[400.0, -120.0, 80.0], [-120.0, 900.0, 500.0], [80.0, 500.0, 700.0]])


def random_covariance(rng: np.random.Generator) -> np.ndarray:
    root = rng.standard_normal((3, 5)) * rng.uniform(1, 30, (3, 1))
    return root @ root.T / 5 + np.diag(rng.uniform(0.1, 5, 3))


def random_fluxes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Some well inside, many near or beyond the bounds (winter)."""
    return np.column_stack([rng.normal(0, 40, n), rng.normal(20, 40, n), rng.normal(20, 40, n)])


def test_two_equal_errors_share_the_gap_by_hand() -> None:
    """With S = identity every flux takes a third of the gap; with an exact NEE it stays as it is."""
    z = np.array([[-20.0, 100.0, 86.0]])  # NEE + GPP - Reco = -6
    np.testing.assert_allclose(make_consistent(z, np.eye(3)), [[-18.0, 102.0, 84.0]])
    np.testing.assert_allclose(
        make_consistent(z, np.diag([1e-9, 1.0, 1.0])), [[-20.0, 103.0, 83.0]], rtol=1e-8
    )
    # beyond the bound: GPP = 0, NEE = Reco = 6
    np.testing.assert_allclose(make_consistent([4.0, -10.0, 8.0], np.eye(3)), [6.0, 0.0, 6.0])
    np.testing.assert_allclose(make_consistent([1.0, -3.0, -4.0], np.eye(3)), [0.0, 0.0, 0.0])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_optimality_conditions_hold(seed: int) -> None:
    """S^-1 (z* - z) = l A' + m1 e_gpp + m2 e_reco with m >= 0, and m > 0 only at a zero flux."""
    rng = np.random.default_rng(seed)
    s, z = random_covariance(rng), random_fluxes(rng, 50)
    out = make_consistent(z, s)
    assert np.abs(out @ A).max() < 1e-12
    assert out[:, 1:].min() >= 0
    pull = (out - z) @ np.linalg.inv(s)
    lagrange = pull[:, 0]  # NEE has no bound
    gpp, reco = pull[:, 1] - lagrange, pull[:, 2] + lagrange
    tolerance = 1e-9 * (1 + np.abs(pull).max(axis=1))
    assert np.all(gpp >= -tolerance)
    assert np.all(reco >= -tolerance)
    assert np.all((out[:, 1] <= 1e-9) | (np.abs(gpp) < tolerance))
    assert np.all((out[:, 2] <= 1e-9) | (np.abs(reco) < tolerance))


def test_agrees_with_a_general_optimiser() -> None:
    rng = np.random.default_rng(5)
    s, z = random_covariance(rng), random_fluxes(rng, 40)
    out, precision = make_consistent(z, s), np.linalg.inv(s)
    kinds = set()
    for row, found in zip(z, out, strict=True):
        oracle = optimize.minimize(
            lambda v, row=row: (v - row) @ precision @ (v - row),
            np.maximum(row, 0.0),
            jac=lambda v, row=row: 2 * precision @ (v - row),
            method="SLSQP",
            bounds=[(None, None), (0, None), (0, None)],
            constraints={"type": "eq", "fun": lambda v: A @ v, "jac": lambda v: A},
            options={"ftol": 1e-13, "maxiter": 300},
        )
        np.testing.assert_allclose(found, oracle.x, atol=2e-4)
        kinds.add((bool(found[1] == 0), bool(found[2] == 0)))
    assert len(kinds) >= 3  # inside, on either bound


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_never_further_from_any_consistent_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, z = random_covariance(rng), random_fluxes(rng, 50)
    gpp, reco = rng.gamma(0.5, 40, (2, 50)) * (rng.random((2, 50)) < 0.8)
    truth = np.column_stack([reco - gpp, gpp, reco])
    precision = np.linalg.inv(s)

    def length(v: np.ndarray) -> np.ndarray:
        return np.sqrt(np.einsum("ri,ij,rj->r", v, precision, v))

    before, after = length(z - truth), length(make_consistent(z, s) - truth)
    assert np.all(after <= before * (1 + 1e-9) + 1e-9)


def test_consistent_input_is_unchanged_and_missing_stays_missing() -> None:
    gpp, reco = np.array([0.0, 120.5, 33.25, 0.0]), np.array([12.5, 80.25, 33.25, 0.0])
    z = np.column_stack([reco - gpp, gpp, reco])
    np.testing.assert_array_equal(make_consistent(z, S), z)
    once = make_consistent(random_fluxes(np.random.default_rng(1), 100), S)
    np.testing.assert_allclose(make_consistent(once, S), once, atol=1e-12)
    holed = make_consistent(np.array([[np.nan, 1.0, 2.0], [1.0, 1.0, 2.0]]), S)
    assert np.isnan(holed[0]).all()
    np.testing.assert_array_equal(holed[1], [1.0, 1.0, 2.0])


def test_layers_and_units_do_not_matter() -> None:
    z = random_fluxes(np.random.default_rng(2), 24)
    whole = make_consistent(z, S)
    np.testing.assert_array_equal(make_consistent(z.reshape(4, 6, 3), S), whole.reshape(4, 6, 3))
    np.testing.assert_allclose(make_consistent(z * 1e3, S * 1e6), whole * 1e3, rtol=1e-9, atol=1e-9)


def errors_table(seed: int = 0, n: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    month, tundra = rng.integers(1, 13, n), rng.random(n) < 0.3
    values = rng.standard_normal((n, 3)) @ np.linalg.cholesky(S).T * np.where(tundra, 0.5, 1.0)[:, None] + 3.0
    frame = pd.DataFrame(values, columns=["nee", "gpp", "reco"])
    return frame.assign(month=month, biome=np.where(tundra, "Tundra", "Boreal"))


def test_covariance_by_group_is_the_sample_covariance_shrunk_to_the_pooled_one() -> None:
    errors = errors_table()
    alone = error_covariance(errors, prior_rows=0)
    shrunk = error_covariance(errors, prior_rows=30)
    pooled = np.zeros((3, 3))
    for _, part in errors.groupby(["month", "biome"]):
        pooled += np.cov(part[["nee", "gpp", "reco"]].to_numpy().T) * (len(part) - 1)
    pooled /= len(errors) - 24
    np.testing.assert_allclose(shrunk.pooled, pooled, rtol=1e-10)
    for (month, biome), part in errors.groupby(["month", "biome"]):
        sample = np.cov(part[["nee", "gpp", "reco"]].to_numpy().T)
        np.testing.assert_allclose(alone.of((month, biome)), sample, rtol=1e-10)
        n = len(part)
        expected = ((n - 1) * sample + 30 * pooled) / (n - 1 + 30)
        np.testing.assert_allclose(shrunk.of((month, biome)), expected, rtol=1e-10)
    assert shrunk.rows.sum() == len(errors)
    np.testing.assert_array_equal(shrunk.of((13, "Boreal")), shrunk.pooled)
    np.testing.assert_allclose(
        error_covariance(errors, prior_rows=np.inf).of((1, "Tundra")), pooled, rtol=1e-10
    )
    single = error_covariance(errors, by=["biome"], prior_rows=0)
    assert single.groups == ("Boreal", "Tundra")
    np.testing.assert_allclose(single.of("Boreal"), S, rtol=0.3, atol=40)


def test_a_group_with_one_row_takes_the_pooled_covariance() -> None:
    errors = errors_table()
    lone = pd.concat([errors, errors.iloc[[0]].assign(month=13)], ignore_index=True)
    found = error_covariance(lone)
    np.testing.assert_allclose(found.of((13, errors["biome"].iloc[0])), found.pooled, rtol=1e-12)


def test_shrinkage_lowers_the_error_where_rows_are_few() -> None:
    """Mean Stein loss against the known covariance, 40 draws of 12 months with about 14 rows each."""
    losses = {}
    for prior in (0.0, 30.0):
        total = 0.0
        for seed in range(40):
            table = errors_table(seed, 240)
            errors = table[table["biome"] == "Boreal"]
            found = error_covariance(errors, by=["month"], prior_rows=prior)
            ratio = np.linalg.solve(np.broadcast_to(S, found.matrices.shape), found.matrices)
            total += float(np.mean(np.trace(ratio, axis1=1, axis2=2) - np.linalg.slogdet(ratio)[1] - 3))
        losses[prior] = total / 40
    assert losses[30.0] < 0.3 * losses[0.0]


def test_joint_errors_keeps_rows_with_all_three_fluxes() -> None:
    keys = {"site_id": ["a", "a", "b", "c"], "year": [2001, 2001, 2001, 2002], "month": [1, 2, 1, 7]}
    nee = pd.DataFrame(keys | {"observed": [1.0, 2.0, 3.0, 4.0], "predicted": [0.0, 0.0, 1.0, np.nan]})
    nee["biome"] = ["Boreal", "Boreal", "Tundra", "Tundra"]
    gpp = nee.drop(columns="biome").iloc[[0, 2, 3]].assign(observed=[10.0, 20.0, 1.0], predicted=5.0)
    reco = gpp.assign(observed=[7.0, 9.0, 1.0])
    out = joint_errors(nee, gpp, reco.iloc[::-1])
    assert list(out["site_id"]) == ["a", "b"]
    assert list(out["biome"]) == ["Boreal", "Tundra"]
    np.testing.assert_array_equal(out[["nee", "gpp", "reco"]], [[1.0, 5.0, 2.0], [2.0, 15.0, 4.0]])


def test_refusals() -> None:
    errors = errors_table()
    closing = errors.assign(nee=errors["reco"] - errors["gpp"])
    with pytest.raises(InputError, match="positive definite"):
        error_covariance(closing)
    with pytest.raises(InputError, match="leave nothing to pool"):
        error_covariance(errors.assign(month=np.arange(len(errors))))
    with pytest.raises(InputError, match=r"columns \['biome'\] are missing"):
        error_covariance(errors.drop(columns="biome"))
    with pytest.raises(InputError, match="missing values"):
        error_covariance(errors.assign(gpp=np.nan))
    with pytest.raises(InputError, match="0 or more"):
        error_covariance(errors, prior_rows=-1)
    with pytest.raises(InputError, match=r"found \(2,\) and \(3, 3\)"):
        make_consistent([1.0, 2.0], S)
    with pytest.raises(InputError, match="positive definite"):
        make_consistent([1.0, 2.0, 3.0], np.diag([1.0, 0.0, 1.0]))
    table = pd.DataFrame({"site_id": ["a", "a"], "year": 2001, "month": 1, "observed": 1.0, "predicted": 1.0})
    with pytest.raises(InputError, match="of nee: 1 site-months occur twice"):
        joint_errors(table, table, table)
    with pytest.raises(InputError, match=r"of gpp: columns \['predicted'\] are missing"):
        joint_errors(table.iloc[[0]], table.iloc[[0]].drop(columns="predicted"), table.iloc[[0]])
