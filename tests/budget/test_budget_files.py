"""Posts files: what is read, and the one clear error for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from talik.budget import BudgetSettings, compute
from talik.budget.files import parse_csv, read_posts
from talik.errors import PostError, TalikError
from talik.posts.published import components
from talik.posts.rows import post_of, printed_unit, read_rows, to_csv
from talik.yamlio import PrintedFloat, parse_yaml

HEADER = "id,gas,mean,low,high,unit,region,period,approach,source,part_of,sum_of\n"
ROW = "{id},CH4,{mean},{low},{high},Tg CH4-C yr-1,R,2000-2020,inventory,table 1,{part_of},{sum_of}\n"


def row(post_id: str, mean="2", low="1", high="3", part_of="", sum_of="") -> str:
    return ROW.format(id=post_id, mean=mean, low=low, high=high, part_of=part_of, sum_of=sum_of)


YAML = """
posts:
  - {id: wetlands, gas: CH4, mean: 25, low: 17, high: 32.0, unit: Tg CH4-C yr-1, region: R,
     period: 2000-2020, approach: inventory, source: table 1}
  - {id: lakes, gas: CH4, mean: 9.4, low: 4.5, high: 13.1, unit: Tg CH4-C yr-1, region: R,
     period: 2000-2020, approach: inventory, source: table 1}
"""


def test_csv_gives_plain_totals_without_sub_fluxes(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_text(
        HEADER + row("wetlands", "25", "17", "32") + row("bogs", part_of="wetlands") + row("lakes")
    )
    budget = compute(path, BudgetSettings(draws=1000))
    total = budget.evaluation.posts["total.inventory", "CH4"]
    assert (total.mean, total.low, total.high) == (27, 18, 35)
    assert [p.id for p in budget.left_out] == ["bogs"]


def test_printed_totals_are_audited_not_added():
    content = parse_csv(
        HEADER + row("a", "2.0", "1", "3") + row("b") + row("all", "5.5", "2", "6", "", "a + b"), "f"
    )
    assert [p.id for p in content.posts] == ["a", "b"]
    from talik.budget.audit import audit

    findings = audit(content.posts, content.claims).findings
    assert [(f.id, f.part) for f in findings] == [("all", "mean")]
    # 2.0 is known to 0.05, 2 to 0.5, 5.5 to 0.05: 4.55 is the most the inputs allow, 5.45 the least printed as 5.5
    assert findings[0].miss == pytest.approx(0.9)


def test_yaml_recipes(tmp_path):
    path = tmp_path / "posts.yaml"
    path.write_text(
        YAML + "recipes:\n  - {id: all, gas: CH4, sum: [wetlands, {post: lakes, weight: 0.5, why: half}]}\n"
    )
    budget = compute(path, BudgetSettings(draws=1000))
    assert budget.evaluation.posts["all", "CH4"].mean == pytest.approx(25 + 4.7)


def test_the_built_in_recipe_runs_on_a_users_copy_of_the_components(tmp_path):
    path = tmp_path / "mine.yaml"
    lines = ["posts:"]
    for p in components():
        fields = {
            "id": p.id,
            "gas": p.gas,
            "mean": p.mean,
            "low": p.low,
            "high": p.high,
            "unit": p.unit,
            "region": p.region,
            "period": p.period,
            "approach": p.approach,
            "source": p.source,
            **({"part_of": p.part_of} if p.part_of else {}),
            **({"origin": p.origin} if p.origin else {}),
        }
        lines.append("  - {" + ", ".join(f"{k}: {v!r}" for k, v in fields.items()) + "}")
    path.write_text("\n".join([*lines, "recipes: reccap2"]))
    mine = compute(path, BudgetSettings(draws=1000)).evaluation.posts["bottom_up.natural", "CO2"]
    built_in = compute("reccap2", BudgetSettings(draws=1000)).evaluation.posts["bottom_up.natural", "CO2"]
    assert (mine.mean, mine.low, mine.high) == (built_in.mean, built_in.low, built_in.high)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean: 25,", "mean: no,", r"post 1: mean must be a number; found the text 'no'"),
        ("mean: 25,", "mean: 12:30,", r"post 1: mean must be a number; found the text '12:30'"),
        ("mean: 25,", "mean: 2_5,", r"post 1: mean must be a number; found '2_5'"),
        ("mean: 25,", "mean: '25,4',", r"found the text '25,4'. Write decimals with a point"),
        ("mean: 25,", "mean: true,", r"post 1: mean must be a number; found True"),
        ("mean: 25,", "mean: .nan,", r"post 'wetlands' \(CH4\): mean is nan"),
        ("low: 17,", "low: .nan,", r"post 'wetlands' \(CH4\): low is nan"),
        ("low: 17,", "low: 32, low: 17,", r"line 3: key 'low' appears twice"),
        ("low: 17, high: 32.0", "low: 32, high: 17", r"low 32 is above high 17; the limits are swapped"),
        ("low: 17, ", "", r"post 1: low is missing"),
        (" unit: Tg CH4-C yr-1,", "", r"post 1: unit is missing \(one of: Tg CO2-C yr-1; Tg CH4-C yr-1"),
        (
            "unit: Tg CH4-C yr-1",
            "unit: Gt CH4-C yr-1",
            r"unit 'Gt CH4-C yr-1' .* Multiply mean, low and high by 1000",
        ),
        ("unit: Tg CH4-C yr-1", "units: Tg CH4-C yr-1", r"post 1: unknown key 'units'"),
        ("id: wetlands", "id: 7", r"id must be text; found 7"),
        ("id: wetlands", "id: lakes", r"'lakes' stands twice for CH4"),
        ("id: wetlands", "id: &x wetlands", None),
        ("posts:", "posts: !!python/object:os.system", r"could not determine a constructor"),
        ("posts:", "post:", r"expected a key 'posts'"),
        ("region: R", "region: Q", r"'lakes' is for region 'R', the total for 'Q'"),
        ("2000-2020", "2000-2017", r"'lakes' is for period '2000-2020', the total for '2000-2017'"),
    ],
)
def test_bad_input_gives_one_clear_error(tmp_path, old, new, message):
    path = tmp_path / "posts.yaml"
    path.write_text(YAML.replace(old, new, 1))
    if message is None:
        compute(path, BudgetSettings(draws=1000))
        return
    with pytest.raises(TalikError, match=message):
        compute(path, BudgetSettings(draws=1000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "id is missing"),
        (HEADER, "holds no posts"),
        (HEADER + "a,CH4,1\n", r"line 2: 12 columns expected"),
        (HEADER.replace("unit,", "") + "a,CH4,1,1,1,R,2000-2020,inventory,s,,\n", "line 1: unit is missing"),
        (HEADER + row("a", mean="1,5"), "12 columns expected"),
        (HEADER + row("a", mean="NA"), "found the text 'NA'"),
        (HEADER + row("a", mean="nan"), "mean is nan"),
        (HEADER + row("a", mean=""), "mean is missing"),
    ],
)
def test_bad_csv(text, message):
    with pytest.raises(TalikError, match=message):
        parse_csv(text, "posts.csv")


def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(TalikError, match="no such file"):
        read_posts(tmp_path / "gone.yaml")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(TalikError, match="not UTF-8"):
        read_posts(tmp_path / "bytes.csv")
    (tmp_path / "posts.txt").write_text("x")
    with pytest.raises(TalikError, match=r"ends in \.yaml, \.yml or \.csv"):
        read_posts(tmp_path / "posts.txt")


@pytest.mark.parametrize(
    ("text", "unit"),
    [("12", 1), ("-0.9", 0.1), ("25.0", 0.1), ("0.10", 0.01), ("1e3", 1000), ("1.5e-2", 1e-3)],
)
def test_the_last_printed_digit_is_known(text, unit):
    assert printed_unit(text) == pytest.approx(unit)
    assert printed_unit(PrintedFloat(text)) == pytest.approx(unit)


def test_yaml_core_types_only():
    data = parse_yaml("a: NO\nb: 010\nc: 1_0\nd: 2000-01-01\ne: 1e3\nf: ~\ng: yes\nh: 0x1F\ni: 5.\n", "x")
    assert data == {
        "a": "NO",
        "b": "010",
        "c": "1_0",
        "d": "2000-01-01",
        "e": 1000.0,
        "f": None,
        "g": "yes",
        "h": "0x1F",
        "i": 5.0,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x", r"line 2: alias \*x"),
        ("[" * 5000, "nested too deeply|expected the node content"),
        ("a: [1", "line 1"),
        ("--- 1\n--- 2", "another document"),
        ("? [a]\n: 1", "a key must be plain text"),
        ("a: \x01", "unacceptable character|special characters"),
    ],
)
def test_yaml_traps(text, message):
    with pytest.raises(TalikError, match=message):
        parse_yaml(text, "x.yaml")


def test_others_are_the_published_components_that_the_file_does_not_give(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "posts:\n  - {id: inventory.geological, gas: CH4, mean: 3, low: 2, high: 4, unit: Tg CH4-C yr-1, "
        "region: northern permafrost region, period: 2000-2020, approach: inventory, source: me}\n"
        "others: reccap2\nrecipes: reccap2\n"
    )
    found = {post.key: post for post in read_posts(path).posts}
    assert set(found) == {post.key for post in components()}
    assert found["inventory.geological", "CH4"].source == "me"
    path.write_text(path.read_text().replace("others: reccap2", "others: all"))
    with pytest.raises(PostError, match="others is 'all'; expected the word reccap2"):
        read_posts(path)


def test_a_post_written_is_the_post_read() -> None:
    text = to_csv(components())
    assert tuple(post_of(row, where) for where, row in read_rows(text, "again")) == components()
