"""The page in a real browser: no request, no console message, nothing wider than a phone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from talik.report.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true",
        reason="no Chromium on this machine (Debian: apt-get install chromium)",
    ),
]


@pytest.fixture(scope="module")
def visit(published, tmp_path_factory):
    """A function that opens the page at a width and returns what the browser saw."""
    assert CHROMIUM, "CI must have Chromium: .ci/run installs it"
    from playwright.sync_api import sync_playwright

    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(published, path, provenance={"code": "0.1.0", "config": "k", "inputs": {}})
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)

        def open_at(width: int, scheme: str = "light") -> tuple[object, list[str], list[str]]:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            requests: list[str] = []
            messages: list[str] = []
            page.on("request", lambda r: requests.append(r.url) if not r.url.startswith("data:") else None)
            page.on("console", lambda m: messages.append(m.text))
            page.on("pageerror", lambda e: messages.append(str(e)))
            page.goto(path.as_uri())
            return page, requests, messages

        yield open_at
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_quietly_and_fits(visit, width, scheme):
    page, requests, messages = visit(width, scheme)
    assert [r for r in requests if not r.endswith("report.html")] == []
    assert messages == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "Greenhouse-gas budget" in page.title()
    assert page.locator(".card").count() == 4
    broken = page.evaluate("[...document.images].filter(i => !i.complete || i.naturalWidth === 0).length")
    assert broken == 0


def test_phones_get_the_narrow_figures(visit):
    wide, narrow = (
        visit(width)[0].evaluate("document.querySelector('#fig-budget_bars img').currentSrc.length")
        for width in (1280, 390)
    )
    assert wide != narrow


def test_a_number_opens_to_its_inputs(visit):
    page, _, _ = visit(1280)
    row = page.locator("[id='post-bottom_up.natural-CO2']")
    assert not row.locator("table").is_visible()
    row.locator("summary").click()
    assert row.locator("table").is_visible()
    assert "Inland waters" in row.inner_text()
    assert page.evaluate("getComputedStyle(document.body).color") != page.evaluate(
        "getComputedStyle(document.body).backgroundColor"
    )
