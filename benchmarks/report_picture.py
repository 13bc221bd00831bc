"""Draws the README's picture of a report: `docs/images/report.png`, of the digits example.

python examples/digits/make_dataset.py, then
python benchmarks/report_picture.py [--output docs/images/report.png]

Needs playwright (`pip install 'zooc[dev]'`) and Chromium. It also says what the report
cost in processor seconds and bytes.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from zooc.compilation import Request, Verified
from zooc.package.manifest import build_manifest
from zooc.package.report.data import report_bytes, report_data
from zooc.package.report.page import render_report
from zooc.package.report.read import StoredReport
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context
from zooc.pipeline.verify import verify
from zooc.support.cache import Cache, default_root
from zooc.support.progress import Progress

ROOT = Path(__file__).parents[1]
SIZE = (1120, 1850)
COLOURS = 128


def main() -> None:
    """Compile, draw, and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, default=ROOT / "examples/digits/digits.zoo")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images/report.png")
    options = parser.parse_args()
    started = time.process_time()
    request, context = Request(options.file), Context(Cache(default_root()), Progress())
    compiled = compile_graph(request, context)
    verified: Verified = verify(compiled, request, context)
    before = time.process_time()
    manifest, data = build_manifest(compiled, verified), report_data(compiled, verified)
    page = render_report(StoredReport(manifest, data))
    spent = time.process_time() - before
    print(f"compile {before - started:.1f} s, the report {spent:.2f} s of the processor")
    print(f"report.html {len(page.encode()):,} bytes, report.json {len(report_bytes(data)):,} bytes")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(_picture(page))
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


def _picture(page: str) -> bytes:
    """The top of the page as a PNG of few colours."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        (Path(folder) / "report.html").write_text(page, "utf-8")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        view.goto((Path(folder) / "report.html").as_uri())
        shot = Image.open(io.BytesIO(view.screenshot())).convert("RGB")
        browser.close()
    file = io.BytesIO()
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
