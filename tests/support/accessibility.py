"""axe-core, the checks of accessibility that run inside a page: a package of npm, found below a folder, kept nowhere.

npm pack axe-core && tar xzf axe-core-*.tgz -C FOLDER        # PLURALIGN_AXE=FOLDER
"""

import os
from pathlib import Path

import pytest


def axe_source():
    """The script, or a skip that says how to get it."""
    path = Path(os.environ.get("PLURALIGN_AXE", "")) / "package" / "axe.min.js"
    if not os.environ.get("PLURALIGN_AXE") or not path.is_file():
        pytest.skip("needs PLURALIGN_AXE with npm's axe-core; see tests/support/accessibility.py")
    return path.read_text(encoding="utf-8")


def violations(browser, source):
    """(rule, how many elements, the first of them) of everything on the open page that is no more than it looks."""
    browser.run(source + ";0")
    return browser.run(
        "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map("
        "one => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 200)]))"
    )
