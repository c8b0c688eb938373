"""Lateral posts: erosion against products of moments, the printed sums and ratios, geological CH4."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError, PostError
from talik.inventory.lateral import (
    COASTAL,
    RIVERINE,
    CoastSegment,
    ErosionSettings,
    check_lateral,
    coastal_erosion,
    geological_post,
    lateral_posts,
)
from talik.inventory.limits import Limited
from talik.posts.published import components

Z = 1.959963984540054
PUBLISHED = [p for p in components() if p.approach == "lateral"]


def around(mean: float, sd: float) -> Limited:
    return Limited(mean, mean - Z * sd, mean + Z * sd)


def exact(value: float) -> Limited:
    return Limited(value, value, value)


COAST = CoastSegment(
    length_km=1000.0,
    retreat_m_yr=exact(0.5),
    height_m=exact(4.0),
    carbon_kg_m3=exact(30.0),
    carbon_to_nitrogen=exact(12.0),
)


def test_exact_numbers_give_the_product():
    """1000 km x 0.5 m x 4 m = 2e6 m3 a year, of 30 kg: 6e7 kg, which is 0.06 Tg."""
    found = coastal_erosion([COAST])
    assert found.carbon == pytest.approx((0.06, 0.06, 0.06), rel=1e-12)
    assert found.nitrogen == pytest.approx((0.005, 0.005, 0.005), rel=1e-12)


def test_limits_follow_the_variance_of_a_product():
    """For independent factors, 1 + var/mean2 of a product is the product of those of the factors (Goodman 1960)."""
    coast = replace(
        COAST, retreat_m_yr=around(0.5, 0.05), height_m=around(4.0, 0.3), carbon_kg_m3=around(30.0, 3.0)
    )
    found = coastal_erosion([coast], ErosionSettings(draws=40_000))
    spread = np.sqrt((1 + 0.1**2) * (1 + 0.075**2) * (1 + 0.1**2) - 1.0)
    assert found.carbon.mean == pytest.approx(0.06, rel=3e-3)
    assert (found.carbon.high - found.carbon.low) / 2.0 == pytest.approx(Z * spread * 0.06, rel=0.03)
    assert found.carbon.high - found.carbon.mean > found.carbon.mean - found.carbon.low


def test_one_factor_alone_keeps_its_limits():
    coast = replace(COAST, retreat_m_yr=Limited(0.5, 0.3, 0.8))
    found = coastal_erosion([coast])
    assert found.carbon == pytest.approx((0.06, 0.036, 0.096), rel=2e-3)
    narrow = coastal_erosion([replace(COAST, carbon_to_nitrogen=Limited(12.0, 10.0, 15.0))])
    assert narrow.carbon == pytest.approx((0.06, 0.06, 0.06), rel=1e-12)
    assert narrow.nitrogen == pytest.approx((0.005, 0.004, 0.006), rel=2e-3)


def test_segments_are_wrong_together_or_apart():
    """Four equal coasts: limits add up if correlated, and grow with the square root of their number if not."""
    coast = replace(COAST, retreat_m_yr=around(0.5, 0.1))
    one = coastal_erosion([coast]).carbon
    together = coastal_erosion([coast] * 4).carbon
    apart = coastal_erosion([coast] * 4, ErosionSettings(between_segments="independent", draws=40_000)).carbon
    np.testing.assert_allclose(together, 4.0 * np.array(one), rtol=1e-12)
    assert apart.high - apart.low == pytest.approx(2.0 * (one.high - one.low), rel=0.03)


@settings(max_examples=25)
@given(st.floats(0.01, 100.0), st.floats(0.0, 0.4), st.floats(0.0, 0.4))
def test_erosion_is_linear_and_never_negative(factor: float, a: float, b: float):
    coast = replace(COAST, retreat_m_yr=around(0.5, 0.5 * a), height_m=around(4.0, 4.0 * b))
    small = ErosionSettings(draws=200)
    base = coastal_erosion([coast], small)
    scaled = coastal_erosion([replace(coast, length_km=1000.0 * factor)], small)
    np.testing.assert_allclose(scaled.carbon, factor * np.array(base.carbon), rtol=1e-9)
    assert 0.0 <= base.carbon.low <= base.carbon.mean <= base.carbon.high


def test_coasts_that_are_refused():
    with pytest.raises(InputError, match="expected at least one segment"):
        coastal_erosion([])
    with pytest.raises(InputError, match=r"coast segment 1: retreat_m_yr -0\.2"):
        coastal_erosion([COAST, replace(COAST, retreat_m_yr=Limited(0.1, -0.2, 0.4))])
    with pytest.raises(InputError, match=r"carbon_to_nitrogen 0 .lower limits.; expected .* C:N above 0"):
        coastal_erosion([replace(COAST, carbon_to_nitrogen=Limited(10.0, 0.0, 20.0))])


def test_the_published_posts_agree_with_their_sums_and_ratios():
    checks = {c.what: c for c in check_lateral(PUBLISHED)}
    assert len(checks) == 8
    assert all(c.agrees for c in checks.values()), checks
    assert checks[f"{RIVERINE} C:N"].found == pytest.approx(78.0)
    assert checks[f"{COASTAL} C:N"].found == pytest.approx(9.375)
    assert checks["sum of C, mean"].found == 93.0
    assert checks["sum of C, low"].found == pytest.approx(79.2)
    assert checks["sum of N, high"].found == pytest.approx(3.6)


def test_the_check_sees_what_rounding_cannot_explain():
    wrong = [replace(p, mean=19.0) if p.key == (COASTAL, "C") else p for p in PUBLISHED]
    found = {c.what: c.agrees for c in check_lateral(wrong)}
    assert not found["sum of C, mean"]
    assert found["sum of C, low"]
    assert found["sum of N, mean"]
    assert not found[f"{COASTAL} C:N"]
    with pytest.raises(PostError, match=r"no post .lateral\.riverine. of N"):
        check_lateral([p for p in PUBLISHED if p.key != (RIVERINE, "N")])
    with pytest.raises(PostError, match=r"no post .lateral\.riverine. of C"):
        check_lateral([])


def test_posts_from_losses():
    losses = {
        name: {p.gas: Limited(p.mean, p.low, p.high) for p in PUBLISHED if p.id == name}
        for name in (RIVERINE, COASTAL)
    }
    text = {name: next(p for p in PUBLISHED if p.id == name) for name in losses}
    made = lateral_posts(
        losses,
        region={n: p.region for n, p in text.items()},
        source={n: p.source for n, p in text.items()},
    )
    for post, published in zip(made, PUBLISHED, strict=True):
        assert replace(post, rounding=published.rounding, note=published.note) == published
    with pytest.raises(PostError, match=r".lateral\.riverine. has no region or no source"):
        lateral_posts(losses, region={}, source={})


def test_erosion_becomes_posts():
    erosion = coastal_erosion([replace(COAST, retreat_m_yr=Limited(0.5, 0.3, 0.8))])
    posts = lateral_posts(
        {COASTAL: {"C": erosion.carbon, "N": erosion.nitrogen}}, region={COASTAL: "a"}, source={COASTAL: "b"}
    )
    assert [(p.gas, p.mean > 0.0) for p in posts] == [("C", True), ("N", True)]


def test_geological_methane_is_the_published_post():
    (published,) = [p for p in components() if p.id == "inventory.geological"]
    made = geological_post()
    assert made.mean == pytest.approx(2.0 * 12.011 / 16.043)
    assert (round(made.mean, 1), round(made.low, 1), round(made.high, 1)) == (1.5, 1.2, 1.8)
    for name in ("id", "gas", "unit", "region", "period", "approach", "origin", "covers"):
        assert getattr(made, name) == getattr(published, name), name
