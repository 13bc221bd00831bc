"""The report in a headless Chromium: what it shows is what the data say, by pointer and by keyboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

QUIET = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that parts from float, with a name that would be markup."""
    (project / "evil.txt").write_text(f"{EVIL}\nb\nc\nd\n", "utf-8")
    text = (project / "tiny.zoo").read_text("utf-8").replace("labels.txt", "evil.txt")
    text = text.replace("percentile(99.99)", "percentile(30)  corrections []")
    (project / "page.zoo").write_text(text, "utf-8")
    request = Request(project / "page.zoo", tmp_path_factory.mktemp("page") / "out")
    return compile_package(request, Context(Cache(None), Progress())).folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def said() -> list[str]:
    """What the page complained of, or asked a network for."""
    return []


def opened(browser: Any, folder: Path, said: list[str], **options: Any) -> Any:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("request", lambda request: said.append(request.url) if "file:" not in request.url[:5] else None)
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto((folder / "report.html").as_uri())
    return page


def test_charts_show_the_data(browser: Any, folder: Path, said: list[str]) -> None:
    data = json.loads((folder / "report.json").read_text("utf-8"))
    manifest = json.loads((folder / "tiny" / "manifest.json").read_text("utf-8"))
    page = opened(browser, folder, said)
    shown = page.eval_on_selector_all(".bars-box >> nth=0 >> [data-db]", "all => all.map(e => +e.dataset.db)")
    assert shown == [layer["db"] for layer in data["layers"] if "db" in layer]
    assert page.locator(".points").get_attribute("data-points") == str(len(data["scatter"]["points"]))
    layers = page.eval_on_selector_all(".strip rect", "all => all.map(e => +e.dataset.layers)")
    assert sum(layers) == len(data["layers"])
    assert page.locator(".verdict.bad b").first.inner_text() == "poor"
    assert f"{manifest['quantization']['agreement']['sqnr_db']:.1f} dB" in page.locator(".cards").inner_text()
    assert page.locator(".images img").count() == len(data["parted"]) > 0
    assert EVIL in page.locator("body").inner_text()
    assert [address for address in said if not address.startswith("data:image/jpeg")] == []


def test_pointer_keyboard_and_list_choose_a_layer(browser: Any, folder: Path, said: list[str]) -> None:
    page = opened(browser, folder, said)
    names = page.eval_on_selector_all(".picker option", "all => all.map(e => e.textContent)")
    detail, chart = page.locator(".detail"), page.locator(".bars-box").first
    bars = chart.locator("[data-db]")
    bars.nth(1).hover()
    assert names[int(bars.nth(1).get_attribute("data-layer"))] in detail.inner_text()
    assert page.locator(".detail .histogram rect").count() > 5
    chart.focus()
    page.keyboard.press("Home")
    assert names[0] in detail.inner_text() and chart.get_attribute("aria-valuenow") == "0"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    assert names[-1] in detail.inner_text()
    assert chart.get_attribute("aria-valuetext").startswith(names[-1])
    page.locator("select").select_option("0")
    assert names[0] in detail.inner_text()
    page.keyboard.press("Tab")
    assert [address for address in said if not address.startswith("data:image/jpeg")] == []


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (400, "dark")])
def test_nothing_is_wider_than_the_window(
    browser: Any, folder: Path, said: list[str], width: int, scheme: str
) -> None:
    page = opened(browser, folder, said, color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(too_wide) == 0
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(15, 20, 25)")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.evaluate(too_wide) == 0


def test_texts_can_be_read(browser: Any, folder: Path, said: list[str]) -> None:
    """The contrast of text against what is behind it is at least 4.5 (WCAG 2.2, 1.4.3)."""
    for scheme in ("light", "dark"):
        page = opened(browser, folder, said, color_scheme=scheme)
        colours = page.evaluate(
            """(names) => [...document.querySelectorAll(names)].map((element) => {
                const clear = "rgba(0, 0, 0, 0)";
                let behind = element;
                while (getComputedStyle(behind).backgroundColor === clear) behind = behind.parentElement;
                return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
            })""",
            ".verdict *, .soft, .good, summary, .card span, th, td, figcaption",
        )
        assert len(colours) > 30
        assert min(_contrast(*pair) for pair in {tuple(pair) for pair in colours}) >= 4.5


def _contrast(first: str, second: str) -> float:
    light, dark = sorted(map(_luminance, (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` by WCAG 2.2."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
