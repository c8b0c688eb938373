"""Schema, model files and bootstraps: strict about input, bit-exact on disk, clear about damage."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talik.errors import ConfigError, InputError
from talik.upscaling.bootstrap import row_bootstrap, site_bootstrap
from talik.upscaling.evaluate import evaluate, hold_out
from talik.upscaling.explain import explain
from talik.upscaling.folds import leave_groups_out
from talik.upscaling.forest import Forest
from talik.upscaling.learner import Arrays
from talik.upscaling.learners import learner_types, make_learner
from talik.upscaling.model import Model, train
from talik.upscaling.model_file import read_model, write_model
from talik.upscaling.training import Training, prepare

PREDICTORS = ["soil_temperature", "srad", "vegetation", "constant"]


def table(n_sites: int = 16, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(n_sites), 12)
    month = np.tile(np.arange(1, 13), n_sites)
    warm = 272 - 14 * np.cos((month - 0.5) / 6 * np.pi) + rng.normal(0, 1, len(site))
    vegetation = np.array(["bog", "fen", "forest", "tundra"])[site % 4]
    return pd.DataFrame(
        {
            "site_id": [f"s{k}" for k in site],
            "month": month,
            "biome": np.where(site % 2, "Boreal", "Tundra"),
            "flux_method": np.where(site % 3, "EC", "Chamber"),
            "soil_temperature": warm,
            "srad": np.maximum(0, 150 - 140 * np.cos((month - 0.5) / 6 * np.pi)),
            "vegetation": vegetation,
            "constant": 4.0,
            "nee": 10
            - 3 * np.maximum(0, warm - 273)
            + (vegetation == "fen") * 5
            + rng.normal(0, 2, len(site)),
        }
    )


@pytest.fixture(scope="module")
def training() -> Training:
    return prepare(table(), "nee", "site_id", PREDICTORS, units={"soil_temperature": "K", "srad": "W m-2"})


@pytest.fixture(scope="module")
def model(training: Training) -> Model:
    held = hold_out(training, Forest(trees=20), leave_groups_out(training.data.groups), 1)
    return train(training, Forest(trees=20), seed=1, held=held, design="loso", bootstrap="sites", members=2)


# --- schema -------------------------------------------------------------------------------------------------------


def test_rows_left_out_are_counted() -> None:
    rows = table()
    rows.loc[:4, "nee"] = np.nan
    rows.loc[3:9, "srad"] = np.nan
    made = prepare(rows, "nee", "site_id", PREDICTORS)
    assert dict(made.dropped) == {"nee missing": 5, "srad missing": 5}
    assert len(made.data) == len(rows) - 10
    assert made.schema.features[2].levels == ("bog", "fen", "forest", "tundra")
    assert made.schema.features[3].low == made.schema.features[3].high == 4.0


def test_columns_are_found_by_name_and_arrays_must_be_in_order(training: Training) -> None:
    rows = table(3, seed=5)
    shuffled = rows[["constant", "nee", "vegetation", "srad", "soil_temperature"]]
    np.testing.assert_array_equal(training.schema.encode(shuffled), training.schema.encode(rows))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="srad"), "predictor srad missing"),
        (lambda t: t.rename(columns={"srad": "SRAD"}), "predictor srad missing"),
        (
            lambda t: t.assign(soil_temperature=t.soil_temperature - 273.15),
            "degrees Celsius instead of kelvin",
        ),
        (lambda t: t.assign(srad=t.srad * 1000 + 900), "srad runs"),
        (lambda t: t.assign(srad=t.srad.mask(t.index < 3)), "missing in 3 of"),
        (lambda t: t.assign(vegetation="desert"), "class desert, which no training row has"),
        (lambda t: t.assign(srad="bright"), "holds text"),
        (lambda t: t.assign(srad=np.inf), "infinite"),
        (lambda t: t.assign(constant=1e6), "constant runs"),
    ],
)
def test_prediction_refuses_what_the_model_did_not_learn(model: Model, change, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=says):
        model.predict(change(table(3, seed=5)))


def test_another_unit_is_refused(model: Model) -> None:
    with pytest.raises(InputError, match="in 'degC', the model learnt it in 'K'"):
        model.predict(table(3), units={"soil_temperature": "degC"})


@pytest.mark.parametrize(
    ("change", "predictors", "error", "says"),
    [
        (lambda t: t.assign(srad=np.nan), PREDICTORS, InputError, "srad has no value in any row"),
        (lambda t: t, [*PREDICTORS, "nee"], ConfigError, "used twice"),
        (lambda t: t, ["srad", "srad"], ConfigError, "used twice"),
        (lambda t: t, ["light"], InputError, "light not found"),
        (lambda t: t, [], ConfigError, "no predictors"),
        (lambda t: t.assign(nee="low"), PREDICTORS, InputError, "nee holds text"),
        (
            lambda t: t.assign(vegetation=[str(k) for k in range(len(t))]),
            PREDICTORS,
            InputError,
            "more than 64",
        ),
        (
            lambda t: t.assign(srad=t.srad.where(t.index < 5), nee=t.nee.where(t.index > 9)),
            PREDICTORS,
            InputError,
            "no row has",
        ),
    ],
)
def test_bad_tables(change, predictors: list[str], error: type[Exception], says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=says):
        prepare(change(table()), "nee", "site_id", predictors)


def test_classes_as_numbers_or_text_are_one_and_the_hash_sees_every_value() -> None:
    rows = table()
    code = rows["vegetation"].map({"bog": 3, "fen": 21, "forest": 160, "tundra": 9})
    made = [
        prepare(rows.assign(vegetation_type=v), "nee", "site_id", ["srad", "vegetation_type"])
        for v in (code, code.astype(float), code.astype(str))
    ]
    assert all(m.schema.features[1].levels == ("3", "9", "21", "160") for m in made)
    assert len({m.key for m in made}) == 1
    moved = rows.assign(vegetation_type=code, srad=rows.srad + (rows.index == 7))
    other = prepare(moved, "nee", "site_id", ["srad", "vegetation_type"])
    assert other.key != made[0].key


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(learner_types()))
def test_round_trip_is_bit_exact(training: Training, tmp_path: Path, name: str) -> None:
    settings = {"stack": {"forest": {"trees": 8}, "extra_trees": {"trees": 8}, "inner_trees": 5}}.get(
        name, {"trees": 10} if "forest" in name or "trees" in name else {}
    )
    learner = make_learner(name, settings)
    held = hold_out(training, learner, leave_groups_out(training.data.groups % 4), 1)
    made = train(training, learner, seed=3, held=held, design="test", bootstrap="rows", members=1)
    again = Model.load(made.save(tmp_path / "m.talik"))
    new = table(6, seed=9)
    assert again.predict(new).tobytes() == made.predict(new).tobytes()
    pd.testing.assert_frame_equal(again.intervals(new), made.intervals(new), check_exact=True)
    assert again.predict_members(new).tobytes() == made.predict_members(new).tobytes()
    pd.testing.assert_frame_equal(again.where(new), made.where(new), check_exact=True)
    assert again.schema == made.schema
    assert again.facts["data"] == training.key
    assert again.facts["seed"] == 3
    assert again.facts["metrics"]["pooled"]["n"] == len(training.data)
    first = (tmp_path / "m.talik").read_bytes()
    assert again.save(tmp_path / "again.talik").read_bytes() == first


def test_every_changed_byte_is_found(model: Model, tmp_path: Path) -> None:
    path = model.save(tmp_path / "m.talik")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in np.unique(rng.integers(0, len(whole), 60)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            again = Model.load(path)
        except (InputError, ConfigError):
            continue
        # a byte of the archive's own bookkeeping (a date, a flag) may change without touching the content
        assert again.predict(table(3)).tobytes() == model.predict(table(3)).tobytes()


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file(model: Model, tmp_path: Path, keep: float) -> None:
    path = model.save(tmp_path / "m.talik")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match="not a whole talik model file"):
        Model.load(path)


def rewritten(path: Path, change: dict[str, bytes]) -> None:
    """The archive with some members replaced."""
    with zipfile.ZipFile(path) as old:
        members = {n: old.read(n) for n in old.namelist()} | change
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


def test_an_array_with_other_numbers_is_found(model: Model, tmp_path: Path) -> None:
    path = model.save(tmp_path / "m.talik")
    out = io.BytesIO()
    np.save(out, model.fitted.arrays()["value"] * 2)
    rewritten(path, {"fitted/value.npy": out.getvalue()})
    with pytest.raises(InputError, match=r"fitted/value.npy was changed"):
        Model.load(path)


def test_no_pickle_is_ever_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], object), allow_pickle=True)
    path = write_model(tmp_path / "m.talik", {}, {"a": np.zeros(3)})
    head = json.loads(zipfile.ZipFile(path).read("model.json"))
    from talik.provenance import hash_bytes

    head["sha256"]["a.npy"] = hash_bytes(out.getvalue())
    text = json.dumps(head).encode()
    rewritten(path, {"a.npy": out.getvalue(), "model.json": text, "model.sha256": hash_bytes(text).encode()})
    with pytest.raises(InputError, match="not a whole talik model file"):
        read_model(path)
    with pytest.raises(ValueError, match="allow_pickle"):
        write_model(tmp_path / "n.talik", {}, {"a": np.array([{"a": 1}], object)})


def test_other_files_and_later_formats(tmp_path: Path, model: Model) -> None:
    (tmp_path / "note.txt").write_text("nothing")
    with pytest.raises(InputError, match="not a whole talik model file"):
        Model.load(tmp_path / "note.txt")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(InputError, match="not a whole talik model file"):
        Model.load(tmp_path / "other.zip")
    path = write_model(tmp_path / "m.talik", {"format": "talik-model-9"}, {})
    with pytest.raises(ConfigError, match="Update talik"):
        read_model(path)


def test_arrays_that_would_lead_outside_are_refused(model: Model, tmp_path: Path) -> None:
    """Hashes are right, content is hostile: a child far outside the trees."""
    path = model.save(tmp_path / "m.talik")
    facts, arrays = read_model(path)
    bad: Arrays = {k: v.copy() for k, v in arrays.items()}
    bad["fitted/left"][0] = 2**30
    write_model(path, {k: v for k, v in facts.items() if k != "format"}, bad)
    with pytest.raises(InputError, match="damaged"):
        Model.load(path)


def test_what_a_bare_model_cannot_do(training: Training) -> None:
    bare = train(training, Forest(trees=5), keep_rows=False)
    with pytest.raises(ConfigError, match="without validation"):
        bare.intervals(table(2))
    with pytest.raises(ConfigError, match="carries no training rows"):
        bare.where(table(2))
    with pytest.raises(ConfigError, match="no bootstrap members"):
        bare.predict_members(table(2))
    with pytest.raises(ConfigError, match="choose one of rows, sites"):
        train(training, Forest(trees=5), bootstrap="columns", members=1)


# --- bootstraps ---------------------------------------------------------------------------------------------------


def test_row_bootstrap_leaves_classes_out(training: Training) -> None:
    member = row_bootstrap(training, Forest(trees=10, mtry=4), 0, 448)
    assert member.columns.tolist() == [0, 1, 3]
    x = training.schema.encode(table(4, seed=2))
    swapped = x.copy()
    swapped[:, 2] = 3 - swapped[:, 2]
    np.testing.assert_array_equal(member.predict(x), member.predict(swapped))
    again, other = (row_bootstrap(training, Forest(trees=10, mtry=4), k, 448) for k in (0, 1))
    assert again.predict(x).tobytes() == member.predict(x).tobytes()
    assert other.predict(x).tobytes() != member.predict(x).tobytes()


def test_site_bootstrap_draws_whole_sites_in_strata_and_maps_lost_classes() -> None:
    rare = table()
    rare["vegetation"] = np.select(
        [rare.site_id.eq("s5"), rare.site_id.eq("s8"), rare.month.gt(6)], ["fen", "tundra", "forest"], "bog"
    )
    training = prepare(rare, "nee", "site_id", PREDICTORS)
    seen = []

    class Spy(Forest):
        def fit(self, data, seed, threads=1):  # type: ignore[no-untyped-def]
            seen.append(data)
            return super().fit(data, seed, threads)

    data = training.data
    strata = (training.rows.biome + training.rows.flux_method.eq("EC").astype(str)).to_numpy()
    lost = 0
    for k in range(12):
        member = site_bootstrap(training, Spy(trees=3), k, 7)
        drawn = seen[-1]
        assert len(drawn) == len(data)  # every site has twelve rows
        rows = {data.x[i].tobytes() + data.y[i].tobytes(): i for i in range(len(data))}
        picked = np.array([rows[drawn.x[i].tobytes() + drawn.y[i].tobytes()] for i in range(len(drawn))])
        sites = data.groups[picked].reshape(-1, 12)
        assert (sites == sites[:, :1]).all()
        np.testing.assert_array_equal(np.sort(strata[picked]), np.sort(strata))
        assert len(np.unique(drawn.groups)) == 16
        kept = np.unique(drawn.x[:, 2].astype(int))
        for level in set(range(4)) - set(kept):
            lost += 1
            z = (data.x[:, [0, 1, 3]] - data.x[:, [0, 1, 3]].mean(0)) / np.where(
                data.x[:, [0, 1, 3]].std(0) > 0, data.x[:, [0, 1, 3]].std(0), 1
            )
            centre = {c: z[data.x[:, 2] == c].mean(0) for c in (level, *kept)}
            nearest = min(kept, key=lambda c: ((centre[c] - centre[level]) ** 2).sum())
            assert member.recode[2, level] == nearest
        np.testing.assert_array_equal(member.recode[2, kept], kept)
    assert lost >= 3


# --- odd tables ---------------------------------------------------------------------------------------------------

ODD = {
    "one-row sites": {"site": np.arange(12), "x": np.linspace(0, 1, 12), "y": np.arange(12.0) % 5},
    "constant predictor": {"site": np.repeat(np.arange(8), 4), "x": np.ones(32), "y": np.arange(32.0) % 7},
    "constant response": {
        "site": np.repeat(np.arange(8), 4),
        "x": np.linspace(0, 1, 32),
        "y": np.full(32, 2.0),
    },
}


@pytest.mark.parametrize("name", sorted(learner_types()))
@pytest.mark.parametrize("case", sorted(ODD))
def test_odd_tables_give_scores_or_none_of_them(case: str, name: str) -> None:
    """One-row sites, a constant predictor, a constant response: what is not defined is None, nothing is NaN."""
    made = prepare(pd.DataFrame(ODD[case]), "y", "site", ["x"])
    learner = make_learner(name, {"trees": 10} if "forest" in name or "trees" in name else {})
    summary, held = evaluate(made, learner, leave_groups_out(made.data.groups))
    text = json.dumps(summary, allow_nan=False)
    assert "NaN" not in text
    if case == "one-row sites":
        assert summary["fold_mean"]["r2_cor"] is None
    if case == "constant response":
        assert summary["pooled"]["nse"] is None
        assert summary["pooled"]["rmse"] == pytest.approx(0, abs=1e-9)
    explained = explain(train(made, learner, held=held, design="loso"), repeats=2, sample=4)
    json.dumps(explained, allow_nan=False)
