"""Papers that declare themselves."""

import subprocess
import sys

from theory.engine.paper import Paper
from theory.engine.registry import papers


def test_order_of_the_papers():
    assert {name: paper.source for name, paper in papers().items()} == {
        "unobserved_types": "arXiv 2405.15065",
        "multi_party": "arXiv 2403.05006",
        "personalization": "arXiv 2405.00254",
        "calibration": "pluralign, statistics of a verdict",
        "low_rank": "arXiv 2412.19436",
    }
    assert list(papers()) == ["unobserved_types", "multi_party", "personalization", "low_rank", "calibration"]
    assert all(isinstance(paper, Paper) and paper.title and paper.authors for paper in papers().values())


def test_a_package_that_declares_a_paper_is_found(tmp_path, monkeypatch):
    for name, place in (("second", 2), ("first", 1)):
        (tmp_path / "claims" / name).mkdir(parents=True)
        declared = f"PAPER = Paper('{name}', 'arXiv 0', 'A title', 'A. Author', {place})"
        source = f"from theory.engine.paper import Paper\n{declared}\n"
        (tmp_path / "claims" / name / "__init__.py").write_text(source)
    (tmp_path / "claims" / "machinery").mkdir()
    (tmp_path / "claims" / "machinery" / "__init__.py").write_text("")
    (tmp_path / "claims" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(papers("claims")) == ["first", "second"]


def test_the_engine_loads_no_paper():
    code = (
        "import sys, theory.engine.runner, theory.engine.witnesses\n"
        "print(*[m for m in sys.modules if m.startswith('theory.') and not m.startswith('theory.engine')])"
    )
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
