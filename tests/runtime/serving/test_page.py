"""The page at `/`, in a headless Chromium: an image is dropped, its answers are read."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_DROP = """
([bytes, name]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
  const given = { dataTransfer: transfer, bubbles: true, cancelable: true };
  document.getElementById("choose").dispatchEvent(new DragEvent("drop", given));
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(
        (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, server: Any) -> Iterator[Any]:
    """The page, open; at the end nothing must have been written to the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("article >> nth=3")
    yield page
    assert said == []
    assert all(re.match(rf"http://127\.0\.0\.1:{server.port}/|blob:|data:", url) for url in asked)
    context.close()


def answered(page: Any) -> None:
    page.get_by_role("status").filter(has_text="heads: ").wait_for()


def keep(page: Any, name: str) -> None:
    """Keep a picture of the page where someone wants to look at it."""
    if folder := os.environ.get("ZOOC_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_a_dropped_image_is_answered_by_each_package(page: Any, server: Any, support: Any) -> None:
    file = support.jpeg(3)
    page.evaluate(_DROP, [list(file), "bird.jpg"])
    answered(page)
    best = server.models["tinybird"](file).topk
    card = page.locator("#model-tinybird")
    names = card.locator("li .name span:first-child").all_text_contents()
    assert names == [one.label for one in best]
    shares = card.locator("li .name span:last-child").all_text_contents()
    assert shares[0] == f"{100 * best[0].probability:.2f} %"
    assert page.get_by_role("status").text_content().startswith(f"tinybird: {best[0].label}, ")
    assert card.get_by_role("rowheader").all_text_contents()[:2] == ["Decoding", "Preprocessing"]
    assert page.locator("#model-heads h3").all_text_contents() == ["colour", "shape"]
    assert "takes no image files" in page.locator("#model-tensors").text_content()
    keep(page, "wide")


def test_it_shows_the_image_as_the_network_sees_it(page: Any, server: Any, support: Any) -> None:
    file = support.jpeg(5)
    page.set_input_files("#file", [{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": file}])
    image = page.get_by_alt_text("The image as tinybird sees it")
    image.wait_for()
    seen = page.evaluate(
        """async () => {
          const image = document.querySelector("#model-tinybird img");
          await image.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
        }"""
    )
    pixels = np.array(seen, np.uint8).reshape(8, 8, 4)[..., :3]
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), server.models["tinybird"].pixels(file))
    answered(page)


def test_by_keyboard_and_with_labels(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert page.get_by_label("Image file").count() == 1
    assert page.get_by_role("status").get_attribute("aria-live") == "polite"
    assert page.locator("img:not([alt])").count() == 0
    keep(page, "empty")


def test_narrow_and_dark_nothing_runs_over(browser: Any, server: Any, support: Any) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("article >> nth=3")
    page.evaluate(
        _DROP, [list(support.jpeg(3)), "a-name-that-is-far-too-long-for-a-narrow-page-" * 3 + ".jpg"]
    )
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 25)"
    keep(page, "narrow-dark")
    context.close()


def test_an_unreadable_file_is_told(browser: Any, server: Any) -> None:
    page = browser.new_context().new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("article >> nth=3")
    page.set_input_files("#file", [{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no image"}])
    page.get_by_role("status").filter(
        has_text="Error: the 8 bytes given: not an image that Pillow"
    ).wait_for()
    assert page.locator("#model-heads .bad").count() == 1
    keep(page, "unreadable")
    page.context.close()


def test_the_policy_allows_the_pages_own_script_alone(server: Any) -> None:
    status, headers, body = server.ask("GET", "/")
    policy = headers["Content-Security-Policy"]
    assert status == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    assert policy.count("'sha256-") == body.count(b"<script>") + body.count(b"<style>") == 2
    assert not re.findall(rb"(?:src|href)=\"(?:https?:)?//", body)
