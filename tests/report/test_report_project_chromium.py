"""The page of a project in a real browser: quiet, as narrow as a phone, months by keyboard, text with contrast."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from made_results import made_results

from talik.report.project_page import render_project

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true",
        reason="no Chromium on this machine (Debian: apt-get install chromium)",
    ),
]

CONTRAST = """() => {
  const part = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); };
  const rgb = c => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
  const light = c => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c[3] > 0.99) return c;
    }
    return [255, 255, 255, 1];
  };
  const worst = {};
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) worst[e.tagName + '.' + e.className] = ratio;
  }
  return worst;
}"""
"""WCAG 2: 4.5 to 1 for text on its ground; what falls short, by element."""


@pytest.fixture(scope="module")
def visit(made_run: Path, tmp_path_factory):
    """A function that opens a page at a width and returns what the browser saw."""
    assert CHROMIUM, "CI must have Chromium: .ci/run installs it"
    from playwright.sync_api import sync_playwright

    whole = tmp_path_factory.mktemp("whole") / "report.html"
    whole.write_text(render_project(made_results()), encoding="utf-8")
    pages = {"made": made_run / "report.html", "whole": whole}
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)

        def open_at(name: str, width: int, scheme: str = "light", script: bool = True):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
            )
            page = context.new_page()
            requests: list[str] = []
            messages: list[str] = []
            page.on("request", lambda r: requests.append(r.url) if not r.url.startswith("data:") else None)
            page.on("console", lambda m: messages.append(m.text))
            page.on("pageerror", lambda e: messages.append(str(e)))
            page.goto(pages[name].as_uri())
            return page, requests, messages

        yield open_at
        browser.close()


@pytest.mark.parametrize("name", ["made", "whole"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "light"), (360, "dark")])
def test_it_opens_quietly_fits_and_can_be_read(visit, name, width, scheme):
    page, requests, messages = visit(name, width, scheme)
    assert [r for r in requests if not r.endswith("report.html")] == []
    assert messages == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = page.evaluate("[...document.images].filter(i => !i.complete || i.naturalWidth === 0).length")
    assert broken == 0
    assert page.evaluate(CONTRAST) == {}


def test_months_change_by_keyboard_and_without_scripts(visit):
    page, _, _ = visit("made", 1280)
    page.locator("#month-7").focus()
    assert page.locator("#frame-7").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#frame-8").is_visible()
    assert not page.locator("#frame-7").is_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#frame-6").is_visible()
    outline = "getComputedStyle(document.querySelector('#month-6 + label')).outlineStyle"
    assert page.evaluate(outline) == "solid"
    quiet, _, _ = visit("made", 1280, script=False)
    quiet.locator("label[for=month-1]").click()
    assert quiet.locator("#frame-1").is_visible()
    assert not quiet.locator("#frame-7").is_visible()


def test_the_keyboard_reaches_the_numbers_and_their_tables(visit):
    page, _, _ = visit("made", 360)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the numbers"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    shown = "[...document.querySelectorAll('.scroll')].filter(e => e.getClientRects().length)"
    wide = f"{shown}.filter(e => e.scrollWidth > e.clientWidth)"
    assert page.evaluate(f"{wide}.length") > 0
    assert page.evaluate(f"{wide}.every(e => e.tabIndex === 0)")
    summary = page.locator("#methods summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#methods details").first.get_attribute("open") is not None


def test_on_paper_everything_is_open(visit):
    page, _, _ = visit("made", 1280)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert all(page.locator(f"#frame-{m}").is_visible() for m in range(1, 13))
    assert (
        page.evaluate("document.querySelector('#methods details table').getBoundingClientRect().height") > 20
    )
