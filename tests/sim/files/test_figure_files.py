"""Figures as files: names are no formulas, nor are powers of ten; one figure is one file; kept, and no file."""

import pytest

from sim.files.figure_files import kept, on_screen, save_figure, subplots

NAME = "$\\frac{$ and $\\mathdefault{$"


def _figure(name=NAME):
    figure, axes = subplots(figsize=(8, 5), layout="constrained")
    axes.plot([1, 1000], [1, 2], label=name)
    axes.set_xscale("log")
    axes.set_yticks([1, 2], [name, "b"])
    axes.set_title(name)
    axes.set_xlabel(name)
    axes.annotate(name, (10, 1.5))
    figure.legend([axes.lines[0]], [name])
    figure.suptitle(name)
    return figure


def test_names_are_no_formulas(tmp_path, monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    png, svg = save_figure(_figure(), tmp_path, "one")
    text = svg.read_text(encoding="utf-8")
    assert text.count(f">{NAME}</text>") == 6
    assert ">10\u00b2</text>" in text
    assert "mathdefault{10" not in text
    assert png.stat().st_size > 5000


def _raised(*powers, times="", sign=""):
    digits = str.maketrans("-01234", "\u207b\u2070\u00b9\u00b2\u00b3\u2074")
    return [f"{sign}{times}10{str(power).translate(digits)}" for power in powers]


@pytest.mark.parametrize(
    ("scale", "limits", "labels"),
    [
        ("log", (0.005, 2e4), _raised(-2, -1, 0, 1, 2, 3, 4)),
        ("log", (15, 65), [label for times in (2, 3, 4, 6) for label in _raised(1, times=f"{times} \u00d7 ")]),
        ("symlog", (-200, 200), [*_raised(2, 1, 0, sign="\u2212"), "0", *_raised(0, 1, 2)]),
        ("linear", (-0.2, 0.2), ["\u22120.10", "0.00", "0.10"]),
    ],
)
def test_powers_of_ten_are_text_and_matplotlibs_own_labels(tmp_path, scale, limits, labels):
    figure, axes = subplots()
    axes.set_yscale(scale)
    axes.set_ylim(limits)
    with kept():
        save_figure(figure, tmp_path, "powers")
    figure.canvas.draw()
    ticks = [*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)]
    low, high = limits
    shown = [tick.get_text() for tick in ticks if low <= tick.get_position()[1] <= high and tick.get_text()]
    assert set(labels) <= set(shown), shown
    assert not any("$" in text or "{" in text for text in shown)


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


def test_a_figure_is_laid_out_once_and_cut_as_matplotlib_cuts_it(tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    theirs = _figure("plain")
    theirs.savefig(tmp_path / "theirs.png", dpi=150, bbox_inches="tight")
    drawn = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (drawn.append(1), draw(self, renderer))[1])
    png, _ = save_figure(_figure("plain"), tmp_path, "ours")
    assert len(drawn) == 3, "once to see where things stand, once a file"
    ours, expected = imread(png), imread(tmp_path / "theirs.png")
    assert abs(ours.shape[0] - expected.shape[0]) <= 2
    assert abs(ours.shape[1] - expected.shape[1]) <= 2
