"""Where an output came from."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

import talik
from talik import provenance
from talik.errors import InputError


def copy_package(target: Path, *, git: bool) -> Path:
    """A checkout of this package at `target`, committed if `git`."""
    package = Path(talik.__file__).parent
    shutil.copytree(package, target / "src" / "talik", ignore=shutil.ignore_patterns("__pycache__"))
    (target / "pyproject.toml").write_text("")
    if git:
        for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
            subprocess.run(
                ["git", "-c", "user.name=t", "-c", "user.email=t@t", *args], cwd=target, check=True
            )
    return target


def version_of(checkout: Path, **env: str) -> str:
    code = "from talik.provenance import code_version; print(code_version())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PYTHONPATH": str(checkout / "src"),
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            **env,
        },
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_code_version_tells_clean_from_dirty(tmp_path):
    checkout = copy_package(tmp_path, git=True)
    clean = version_of(checkout)
    assert clean.startswith(f"{talik.__version__}+g")
    assert "dirty" not in clean
    (checkout / "notes.txt").write_text("not part of the package")
    assert version_of(checkout) == clean
    seen = {clean}
    for text in ("x = 1\n", "x = 2\n"):
        (checkout / "src" / "talik" / "extra.py").write_text(text)
        seen.add(version_of(checkout))
    assert len(seen) == 3
    assert sum(".dirty." in v for v in seen) == 2


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_users_own_repository_around_the_package_does_not_count(tmp_path):
    package = copy_package(tmp_path / "project", git=False)
    subprocess.run(["git", "init", "-q"], cwd=package, check=True)
    assert version_of(package) == talik.__version__


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_elsewhere_or_absent_is_no_matter(tmp_path):
    checkout = copy_package(tmp_path / "talik", git=True)
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    assert version_of(checkout, GIT_DIR=str(tmp_path / "other" / ".git")) == version_of(checkout)
    assert version_of(checkout, PATH=str(tmp_path)) == talik.__version__


def test_hashes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"talik" * 100_000)
    assert provenance.hash_file(path) == hashlib.sha256(b"talik" * 100_000).hexdigest()
    assert provenance.hash_bytes(b"") == hashlib.sha256().hexdigest()


def test_history_has_the_newest_line_first(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    ds = provenance.add_history(xr.Dataset(), provenance.history_line("first"))
    ds = provenance.add_history(ds, provenance.history_line("second", "abc"))
    second, first = ds.attrs["history"].splitlines()
    assert second.startswith("1970-01-01T00:00:00+00:00 talik second code=")
    assert second.endswith("config=abc")
    assert " first " in first


def test_description_names_inputs_by_content(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1")
    told = provenance.describe({"a.csv": path}, "key")
    assert told["inputs"]["a.csv"] == {"sha256": hashlib.sha256(b"1").hexdigest(), "bytes": 1}
    assert told["config"] == "key"
    assert told["code"].startswith(talik.__version__)


def test_stamping_keeps_what_was_recorded(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    ds = provenance.stamp(xr.Dataset(), "first", inputs={"a": one})
    ds = provenance.stamp(ds, "second", "key", {"b": two})
    assert json.loads(ds.attrs["talik_inputs"]) == {
        "a": hashlib.sha256(b"1").hexdigest(),
        "b": hashlib.sha256(b"2").hexdigest(),
    }
    assert ds.attrs["talik_code"] == provenance.code_version()
    assert len(ds.attrs["history"].splitlines()) == 2
    with pytest.raises(InputError, match=r"input 'a' .* Give the two inputs different names"):
        provenance.stamp(ds, "third", inputs={"a": two})


def test_inputs_are_named_from_the_folder_of_the_project(tmp_path):
    inside, outside, twin = tmp_path / "p" / "data" / "a.nc", tmp_path / "b.nc", tmp_path / "q" / "b.nc"
    found = provenance.named_from(tmp_path / "p", {str(p): p for p in (inside, outside, twin)})
    assert found == {"data/a.nc": inside, "b.nc": outside, str(twin): twin}
    # names as a project file has them stay, and nothing is lost where one of them looks like another's
    found = provenance.named_from(tmp_path / "p", {str(inside): inside, str(outside): outside, "b.nc": twin})
    assert found == {"b.nc": twin, "data/a.nc": inside, str(outside): outside}
