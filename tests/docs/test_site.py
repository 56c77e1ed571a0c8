"""The site: built strictly into a temporary folder, fetching nothing from another host, and opened in Chromium."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest
from places import ROOT

pytest.importorskip("mkdocs", reason="the site needs mkdocs: pip install -c constraints.txt -e '.[docs]'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTH = 1280


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
    """Serves the site, and has each page say how wide it is: a wider page than its window is one that is cut off."""

    asked: list = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        path = self.translate_path(self.path)
        if path.endswith(".html") and os.path.isfile(path):
            script = (
                b"<script>addEventListener('load',()=>document.body.setAttribute('data-wide',"
                b"document.documentElement.scrollWidth-innerWidth))</script></body>"
            )
            with open(path, "rb") as file:
                body = file.read().replace(b"</body>", script)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()


@pytest.fixture(scope="module")
def served(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install -y --no-install-recommends chromium")
def test_every_page_opens_in_chromium(site, served, tmp_path):
    from matplotlib.image import imread

    def look(path):
        name = str(path.relative_to(site))
        picture = tmp_path / f"{name.replace('/', '-')}.png"
        done = subprocess.run(
            [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                f"--user-data-dir={tmp_path / picture.stem}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--window-size={WIDTH},1600", "--virtual-time-budget=2000", "--enable-logging=stderr", "--log-level=0",
                f"--screenshot={picture}", "--dump-dom", f"{served}/{name}",
            ],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return name, picture, done

    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(look, _pages(site)))
    for name, picture, done in seen:
        assert done.returncode == 0, f"{name}: {done.stderr[-500:]}"
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, f"{name}: {complaints}"
        pixels = imread(picture)
        assert pixels.shape[1] == WIDTH
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50, f"{name} is blank"
        wide = re.search(r'data-wide="(-?\d+)"', done.stdout)
        assert wide, f"{name} did not load"
        assert int(wide.group(1)) <= 0, f"{name} is {wide.group(1)} pixels wider than the window"
    asked = {path.partition("?")[0] for path in _Quiet.asked}
    assert all((site / path.lstrip("/")).exists() for path in asked), "a file that is not there was asked for"
