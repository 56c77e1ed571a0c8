"""The site: built strictly into a temporary folder, fetching nothing from another host, and opened in Chromium."""

import functools
import http.server
import io
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from matplotlib.image import imread
from places import ROOT

pytest.importorskip("mkdocs", reason="the site needs mkdocs: pip install -c constraints.txt -e '.[docs]'")

WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


def _pages(site):
    return sorted(path for path in site.rglob("*.html") if path.name != "404.html")


class Loaded(HTMLParser):
    """Addresses a page loads by itself; where a reader is only pointed to is not among them."""

    def __init__(self):
        super().__init__()
        self.found, self.anchors, self.headings = [], [], 0

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "a":
            self.anchors.append(given.get("href", ""))
        elif tag == "link" and given.get("rel") not in ("prev", "next", "canonical"):
            self.found.append(given["href"])
        elif tag == "h1":
            self.headings += 1
        self.found += [given[name] for name in ("src", "data", "poster") if given.get(name)]
        self.found += [part.split()[0] for part in (given.get("srcset") or "").split(",") if part.strip()]


def test_every_page_of_the_docs_is_there(site):
    sources = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.relative_to(site) for path in _pages(site)} == sources
    for path in _pages(site):
        page = Loaded()
        page.feed(path.read_text(encoding="utf-8"))
        assert page.headings == 1, f"{path.name} has {page.headings} titles"


def test_nothing_is_fetched_from_another_host(site):
    for path in [*_pages(site), site / "404.html"]:
        page = Loaded()
        page.feed(path.read_text(encoding="utf-8"))
        abroad = [address for address in page.found if re.match(r"(https?:)?//", address)]
        assert not abroad, f"{path.name} loads {abroad}"
    for sheet in site.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()\s*['\"]?((?:https?:)?//[^'\")]+)", sheet.read_text(encoding="utf-8"))
        assert not found, f"{sheet.name} loads {found}"


def test_formulas_of_docstrings_are_text(site):
    """`<theta, d>` in a docstring is a scalar product; a browser would drop it as an element it does not know."""
    text = (site / "api.html").read_text(encoding="utf-8")
    assert not re.findall(r"<\w+,[^<>]*>", text)
    assert re.search(r"&lt;theta, \w+&gt;", text)


def test_links_out_are_few_and_named(site):
    """A page may point a reader elsewhere; each host is on purpose."""
    hosts = set()
    for path in _pages(site):
        page = Loaded()
        page.feed(path.read_text(encoding="utf-8"))
        hosts |= {match.group(1) for a in page.anchors if (match := re.match(r"https?://([^/]+)", a or ""))}
    assert hosts <= {"arxiv.org", "grouplens.org", "ai.stanford.edu"}


def test_every_public_name_has_an_entry(site):
    pluralign = pytest.importorskip("pluralign")
    text = (site / "api.html").read_text(encoding="utf-8")
    for name in pluralign.__all__:
        assert name.startswith("__") or f"pluralign.{name}" in text, f"{name} is not on the page"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def served(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install -y --no-install-recommends chromium")
def test_every_page_opens_in_chromium(site, served, tmp_path):
    """At a desk's width and at a telephone's: no error, nothing from elsewhere, nothing wider than its window."""
    with Browser(tmp_path) as browser:
        for path in _pages(site):
            name = path.relative_to(site)
            for width in WIDTHS:
                seen = browser.look(f"{served}/{name}", width)
                assert not seen.complaints, f"{name}: {seen.complaints}"
                abroad = [address for address in seen.asked if not address.startswith((served, "data:", "blob:"))]
                assert not abroad, f"{name} asks for {abroad}"
                assert seen.wide <= 0, f"{name} is {seen.wide} pixels wider than a window of {width}"
                pixels = imread(io.BytesIO(seen.picture), format="png")
                assert pixels.shape[1] == width
                assert len(np.unique(pixels[::4, ::4].reshape(-1, pixels.shape[2]), axis=0)) > 20, f"{name} is blank"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install -y --no-install-recommends chromium")
def test_the_look_at_a_page_notices(served, site, tmp_path):
    """A script that fails, a picture from another host, a line that is cut off."""
    page = (
        "<html><body><img src='https://elsewhere.example/a.png'><div style='width:3000px'>a</div><script>b()</script>"
    )
    (site / "broken.html").write_text(page)
    try:
        with Browser(tmp_path) as browser:
            seen = browser.look(f"{served}/broken.html", 400)
    finally:
        (site / "broken.html").unlink()
    assert any("b is not defined" in complaint for complaint in seen.complaints)
    assert "https://elsewhere.example/a.png" in seen.asked
    assert seen.wide > 2500
