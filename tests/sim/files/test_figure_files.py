"""Figures as files: names are no formulas, powers of ten are; the same figure is the same file; kept, and no file."""

import pytest

from sim.files.figure_files import kept, on_screen, save_figure, subplots

NAME = "$\\frac{$ and $\\mathdefault{$"


def _figure():
    figure, axes = subplots(figsize=(8, 5), layout="constrained")
    axes.plot([1, 1000], [1, 2], label=NAME)
    axes.set_xscale("log")
    axes.set_yticks([1, 2], [NAME, "b"])
    axes.set_title(NAME)
    axes.set_xlabel(NAME)
    axes.annotate(NAME, (10, 1.5))
    figure.legend([axes.lines[0]], [NAME])
    figure.suptitle(NAME)
    return figure


def test_names_are_no_formulas(tmp_path, monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    png, svg = save_figure(_figure(), tmp_path, "one")
    text = svg.read_text(encoding="utf-8")
    assert text.count(f">{NAME}</text>") == 6
    assert ">$\\mathdefault{10" not in text, "powers of ten are drawn, not spelt"
    assert png.stat().st_size > 5000


def test_an_unchanged_figure_is_an_unchanged_file(tmp_path):
    (_, first), (_, second) = (save_figure(_figure(), tmp_path / str(k), "one") for k in range(2))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["one", "two"])
def test_kept_and_no_file(tmp_path, name):
    figure = _figure()
    with kept() as figures:
        assert save_figure(figure, tmp_path, name) == []
    assert figures == {name: figure}
    assert not list(tmp_path.iterdir())
    assert len(save_figure(figure, tmp_path, name)) == 2


def test_names_on_a_screen_are_no_formulas_either():
    import matplotlib.pyplot as plt

    with on_screen() as figures:
        _figure()
    (figure,) = figures
    figure.canvas.draw()
    plt.close(figure)
