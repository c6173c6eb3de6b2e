"""The report in a browser: charts, light and dark, on a phone, without a network, with any text.

It needs Chromium or Chrome on the PATH and is skipped without one.
"""

import html
import re
import shutil
import subprocess
import zlib

import pytest

from eval.report.run_report import write_report
from tests.eval.page import Page
from tests.eval.run_folder import hostile_run, write_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(NAMES)} is on the PATH")


def chromium(tmp_path, *arguments):
    quiet = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
    )  # fmt: skip
    return subprocess.run([CHROMIUM, *quiet, *arguments], capture_output=True, text=True, timeout=120, check=True).stdout


def colours(png):
    """Red, green and blue of a PNG's first pixel, which no row filter changes, and how many kinds of bytes it has."""
    data, at = png.read_bytes(), 8
    pixels = b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            pixels += data[at + 8 : at + 8 + size]
        at += 12 + size
    raw = zlib.decompress(pixels)
    return tuple(raw[1:4]), len(set(raw))


def framed(tmp_path, page, script):
    """The DOM of a page that shows a report as wide as a phone and runs a script beside it; the report itself has none."""
    frame = tmp_path / "frame.html"
    frame.write_text(
        '<iframe id="f" style="width:360px;height:800px;border:0" '
        f'srcdoc="{html.escape(page.read_text(encoding="utf-8"))}"></iframe><pre id="told"></pre>'
        f"<script>f.onload = () => {{ const d = f.contentDocument; told.textContent = {script} }}</script>",
        encoding="utf-8",
    )
    return chromium(tmp_path, "--virtual-time-budget=5000", "--dump-dom", frame.as_uri())


@pytest.mark.parametrize(
    ("scheme", "flags", "background"),
    [("light", [], (0xF6, 0xF7, 0xF9)), ("dark", ["--blink-settings=preferredColorScheme=0"], (0x12, 0x16, 0x1C))],
)
def test_it_is_drawn_light_and_dark(tmp_path, scheme, flags, background):
    page = write_report(write_run(tmp_path / "run"))
    picture = tmp_path / f"{scheme}.png"
    chromium(tmp_path, *flags, "--window-size=1200,1200", f"--screenshot={picture}", page.as_uri())
    corner, kinds = colours(picture)
    assert corner == background
    assert kinds > 100  # text and curves, not one flat colour


def test_the_rendered_page_is_whole_and_each_plot_can_be_read_aloud(tmp_path):
    dom = chromium(tmp_path, "--dump-dom", write_report(write_run(tmp_path / "run")).as_uri())
    page = Page(dom.removeprefix("<!DOCTYPE html>"))
    assert "Where teacher and student differ" in page.text and "Where the time went" in page.text
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "action", "data"}
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    plots = re.findall(r'<svg[^>]*role="img".*?</svg>', dom, re.DOTALL)
    assert len(plots) == 10
    for plot in plots:
        assert re.search(r"<title>[^<]+</title><desc>Against teacher queries\. [^<]+</desc>", plot)
        across, up = re.findall(r'<text class="axis[^>]*>([^<]+)</text>', plot)
        assert across == "teacher queries" and up
    for table in re.findall(r"<table.*?</table>", dom, re.DOTALL):
        assert 'scope="col"' in table or "<thead" not in table


@pytest.mark.parametrize("make", [write_run, hostile_run])
def test_nothing_sticks_out_on_a_phone_and_no_text_becomes_markup(tmp_path, make):
    told = framed(
        tmp_path,
        write_report(make(tmp_path / "run")),
        "`width ${d.documentElement.scrollWidth}, plots ${d.querySelectorAll('figure svg[role=img]').length}, "
        "active ${d.querySelectorAll('script, img, [onerror]').length}, "
        "smallest ${Math.min(...[...d.querySelectorAll('main *')].map(e => parseFloat(getComputedStyle(e).fontSize)))}`",
    )
    seen = re.search(r"width (\d+), plots (\d+), active (\d+), smallest ([\d.]+)<", told)
    assert seen and seen.group(1, 2, 3) == ("360", "10", "0")
    assert float(seen.group(4)) >= 12
