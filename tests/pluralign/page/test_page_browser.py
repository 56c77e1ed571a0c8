"""The page in headless Chromium: filters, search, keys, addresses inside it; no error, no request, no violation."""

import json
from dataclasses import replace

import pytest
from accessibility import axe_source, violations
from browser import CHROMIUM, Browser
from made_checks import CHECK, printed_and_corrected, rate
from made_results import HOSTILE, check_folder, everything

from pluralign.page.build import NAME, collect, render
from sim.printable import printable

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install -y --no-install-recommends chromium"
)
SHOWN = (
    "[...document.querySelectorAll('details.claim')].filter(c => c.offsetParent)"
    ".map(c => c.querySelector('.name').textContent)"
)


def _write(folder):
    (folder / NAME).write_text(render(collect(folder)), encoding="utf-8")
    return folder / NAME


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    everything(folder)
    return _write(folder)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def opened(browser, page):
    """The page as a reader opens it, on a desk."""
    _plain(browser.look(page.as_uri(), 1280), page)
    return browser


def _plain(seen, page):
    assert not seen.complaints
    assert set(seen.asked) == {page.as_uri()}, "a request left the page"
    assert seen.wide <= 0, "wider than its window"


def _set(browser, name, value):
    browser.run(
        f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
        f"(document.getElementById('{name}'))"
    )


def test_names_run_nothing(opened):
    """And are read as they are written."""
    opened.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert opened.run("typeof window.hacked") == "undefined"
    assert opened.run("document.images.length + document.querySelectorAll('main script, main iframe').length") == 0
    assert printable(HOSTILE) in opened.run("document.body.innerText")


def test_search_and_filters(opened):
    every = ["regret-beta", "hedge-rate", "bic-formula", printable(HOSTILE)]
    assert sorted(opened.run(SHOWN)) == sorted(every)
    _set(opened, "search", "BETA regret")
    assert opened.run(SHOWN) == ["regret-beta"]
    assert opened.run("document.getElementById('count').textContent") == "1 of 4 claims"
    _set(opened, "search", "a-fault")
    assert opened.run(SHOWN) == ["regret-beta"], "by a fault that it notices"
    _set(opened, "search", "no such words")
    assert opened.run(SHOWN) == []
    assert "Reset" in opened.run("document.getElementById('count').textContent")
    _set(opened, "search", "")
    _set(opened, "verdict", "VIOLATED")
    assert opened.run(SHOWN) == ["regret-beta"]
    _set(opened, "verdict", "INCONCLUSIVE")
    assert opened.run(SHOWN) == ["bic-formula"]
    _set(opened, "verdict", "")
    _set(opened, "variant", "as_corrected")
    assert opened.run(SHOWN) == ["regret-beta"]
    _set(opened, "variant", "")
    _set(opened, "paper", printable(HOSTILE))
    assert opened.run(SHOWN) == [printable(HOSTILE)]
    opened.run("document.querySelector('#filters [type=reset]').click()")
    opened.run("new Promise(done => setTimeout(done, 50))")
    assert sorted(opened.run(SHOWN)) == sorted(every)
    opened.run("document.getElementById('unexpected').click()")
    assert opened.run(SHOWN) == ["bic-formula"]
    opened.run("document.getElementById('open').click()")
    assert opened.run("document.querySelectorAll('details.claim[open]').length") == 1
    opened.run("document.getElementById('close').click()")
    assert opened.run("document.querySelectorAll('details.claim[open]').length") == 0


def test_every_control_is_reached_by_the_keyboard(opened):
    """In the order in which they stand; the skip link first; Enter opens a claim."""
    seen = []
    for _ in range(16):
        opened.type("Tab")
        seen.append(opened.run(
            "document.activeElement.id || document.activeElement.className || document.activeElement.textContent.trim()"
        ))  # fmt: skip
    assert seen[0] == "skip"
    controls = [
        name for name in seen if name in ("search", "paper", "verdict", "variant", "unexpected", "open", "close")
    ]
    assert controls == ["search", "paper", "verdict", "variant", "unexpected", "open", "close"]
    outline = opened.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "where the focus is must be seen"
    opened.run("document.querySelector('details.claim > summary').focus()")
    opened.type("Enter")
    assert opened.run("document.querySelectorAll('details.claim[open]').length") == 1


def test_an_address_opens_its_claim(browser, page):
    """Also where a filter hides it; what is no claim, or no address, is left alone."""
    _plain(browser.look(page.as_uri(), 1280), page)
    _set(browser, "search", "hedge")
    browser.run("location.hash = document.querySelector('.errata th a').getAttribute('href')")
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert browser.run("document.querySelector('details.claim[open] .name').textContent") == "regret-beta"
    browser.run("location.hash = document.querySelector('.errata td a').getAttribute('href')")
    assert "witness" in browser.run("location.hash")
    browser.run("location.hash = '#%E0%A4%A'")
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run("document.querySelectorAll('details.claim').length") == 4


def test_saved_files_are_what_they_say(opened):
    """As a reader saves them: the bytes behind the links."""
    text = opened.run(
        "(a => decodeURIComponent(a.href.slice(a.href.indexOf(',') + 1)))"
        "(document.querySelector('[download=\"regret-beta--as_printed.json\"]'))"
    )
    assert json.loads(text) == printed_and_corrected()[0].as_json()["witness"]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_accessibility(browser, page, width, scheme):
    source = axe_source()
    browser.media(prefers_color_scheme=scheme)
    try:
        _plain(browser.look(page.as_uri(), width), page)
        browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert browser.run("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert violations(browser, source) == []
    finally:
        browser.media()


def test_the_look_for_violations_notices(browser, tmp_path):
    source = axe_source()
    (tmp_path / "bad.html").write_text(
        "<html><title>a</title><body><main><input><img src='data:,'></main></body></html>"
    )
    browser.look((tmp_path / "bad.html").as_uri(), 400)
    assert {"html-has-lang", "label", "image-alt"} <= {rule for rule, _, _ in violations(browser, source)}


def test_in_the_dark_and_on_paper(browser, page):
    """Ink is light on dark; on paper there are no buttons, and what is open is printed."""
    browser.media(prefers_color_scheme="dark")
    _plain(browser.look(page.as_uri(), 1280), page)
    ink = browser.run("getComputedStyle(document.body).color + getComputedStyle(document.body).backgroundColor")
    assert ink == "rgb(232, 234, 237)rgb(21, 24, 28)"
    browser.media(media="print")
    assert browser.run("getComputedStyle(document.getElementById('filters')).display") == "none"
    assert browser.run("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    shut = len(browser.pdf())
    browser.run("document.querySelectorAll('details.claim').forEach(d => { d.open = true; })")
    assert len(browser.pdf()) > shut + 5000
    browser.media()


@pytest.mark.slow
def test_a_page_of_all_verdicts(browser, tmp_path):
    """As many as the papers have: below 10 MB, and it filters."""
    further = []
    for k in range(110):
        further += [*printed_and_corrected(f"slip-{k}"), replace(rate(f"rate-{k}"), paper="low_rank")]
    further += [replace(CHECK, claim_id=f"plain-{k}", paper="multi_party") for k in range(10)]
    check_folder(tmp_path, further)
    page = _write(tmp_path)
    assert page.stat().st_size < 10e6
    _plain(browser.look(page.as_uri(), 1280), page)
    assert browser.run("document.getElementById('count').textContent") == "234 of 234 claims"
    _set(browser, "search", "slip-7")
    assert len(browser.run(SHOWN)) == 11
    browser.run("document.getElementById('open').click()")
    source = axe_source()
    assert violations(browser, source) == []
