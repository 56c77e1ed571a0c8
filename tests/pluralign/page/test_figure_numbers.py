"""The numbers of a figure as rows: every kind of drawing against the numbers it was drawn from."""

import csv
import io
from collections import defaultdict

import numpy as np
import pytest

from pluralign.page.drawn import drawn_charts
from sim.algorithms.welfare import RULES
from sim.files.figure_files import save_figure, subplots
from sim.studies.experiments.bandit.figures import draw_bandit
from sim.studies.experiments.profiles.figures import draw_profiles
from sim.studies.plots import heats, panels
from sim.studies.precision import half_width
from sim.studies.results import Results


def _rows(draw):
    """Rows by series, of what `draw(axes)` draws in one panel; numbers read back, names as they are."""

    def whole(folder):
        figure, axes = subplots()
        draw(axes)
        axes.set_title("panel")
        return save_figure(figure, folder, "figure")

    (chart,) = drawn_charts(whole, "x", "name")
    return _by_series(chart)


def _by_series(chart, panel="panel"):
    found = defaultdict(list)
    for row in csv.DictReader(io.StringIO(chart.csv)):
        if row["panel"] == panel:
            found[row["series"]].append(tuple(_read(row[name]) for name in ("x", "y", "low", "high")))
    return dict(found)


def _read(text):
    try:
        return float(text) if text else None
    except ValueError:
        return text


X, Y, E = [1.0, 2.0, 4.0], [0.5, -1.5, 3.0], [0.1, 0.2, 0.4]
WITH_ERRORS = [(x, y, y - e, y + e) for x, y, e in zip(X, Y, E, strict=True)]
PLAIN = [(x, y, None, None) for x, y in zip(X, Y, strict=True)]
NAMES = ["few", "some", "many"]


@pytest.mark.parametrize(("draw", "expected"), [
    (lambda a: a.errorbar(X, Y, yerr=E, label="s"), {"s": WITH_ERRORS}),
    (lambda a: a.errorbar(X, Y, yerr=[0, 0, 0], label="s"), {"s": [(x, y, y, y) for x, y in zip(X, Y, strict=True)]}),
    (lambda a: a.errorbar(X, Y, yerr=E), {"line 1": WITH_ERRORS}),
    (lambda a: a.errorbar(X, Y, yerr=E, errorevery=2, label="s"), {"s": [WITH_ERRORS[0], PLAIN[1], WITH_ERRORS[2]]}),
    (lambda a: a.errorbar(X, Y, xerr=E, label="s"), {
        "s": PLAIN, "s, along x": [(y, x, x - e, x + e) for x, y, e in zip(X, Y, E, strict=True)]}),
    (lambda a: a.bar(X, Y, yerr=E, label="s"), {"s": WITH_ERRORS}),
    (lambda a: a.bar(X, Y), {"bars 1": PLAIN}),
    (lambda a: a.bar(X, Y, bottom=10.0, yerr=E, label="s"), {"s": WITH_ERRORS}),
    (lambda a: (a.bar(X, Y, label="s"), a.errorbar(X, Y, yerr=E, fmt="none")), {"s": WITH_ERRORS}),
    (lambda a: a.barh(X, Y, xerr=E, label="s"), {"s": WITH_ERRORS}),
    (lambda a: a.bar(NAMES, Y, yerr=E, label=NAMES), {
        name: [(name, *row[1:])] for name, row in zip(NAMES, WITH_ERRORS, strict=True)}),
    (lambda a: (a.bar([-0.2, 0.8, 1.8], Y, 0.4, yerr=E, label="_left out"), a.set_xticks(range(3), NAMES)), {
        "left out": [(name, *row[1:]) for name, row in zip(NAMES, WITH_ERRORS, strict=True)]}),
    (lambda a: a.plot(NAMES, Y, label="s"), {"s": [(name, y, None, None) for name, y in zip(NAMES, Y, strict=True)]}),
    (lambda a: (a.plot(Y, range(3), "o", label="s"), a.set_yticks(range(3), NAMES)), {
        "s": [(name, y, None, None) for name, y in zip(NAMES, Y, strict=True)]}),
    (lambda a: a.plot(X, Y), {"line 1": PLAIN}),
    (lambda a: (a.plot(X, Y, "."), a.plot(X, Y, ".")), {"points 1": PLAIN, "points 2": PLAIN}),
    (lambda a: (a.axhline(0.9, label="s"), a.axhline(0.1), a.axvline(3.0)), {
        "s": [(None, 0.9, None, None)], "level 1": [(None, 0.1, None, None)], "place 1": [(3.0, None, None, None)]}),
    (lambda a: a.plot([0, 1], [0, 1], transform=a.transAxes), {}),
    (lambda a: a.fill_between(X, [0, 1, 2], [1, 3, 5], label="s"), {
        "s": [(1.0, None, 0.0, 1.0), (2.0, None, 1.0, 3.0), (4.0, None, 2.0, 5.0)]}),
    (lambda a: a.scatter(X, Y, label="s"), {"s": PLAIN}),
    (lambda a: a.scatter(X, Y, c=E, label="s"), {
        "s": PLAIN, "s, as colour": [(x, e, None, None) for x, e in zip(X, E, strict=True)]}),
    (lambda a: a.stem(X, Y, label="s"), {"s": PLAIN}),
    (lambda a: a.hist([1.0, 1.1, 2.9], bins=[1.0, 2.0, 3.0], label="s"), {
        "s": [(1.5, 2.0, None, None), (2.5, 1.0, None, None)]}),
    (lambda a: a.stairs([2.0, 1.0], [1.0, 2.0, 3.0], label="s"), {
        "s": [(1.5, 2.0, None, None), (2.5, 1.0, None, None)]}),
    (lambda a: a.vlines([1.0, 2.0], 0.0, [3.0, 4.0], label="s"), {
        "s": [(1.0, 0.0, None, None), (1.0, 3.0, None, None), (2.0, 0.0, None, None), (2.0, 4.0, None, None)]}),
    (lambda a: a.imshow([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), {
        "0.0": [(0.0, 1.0, None, None), (1.0, 2.0, None, None), (2.0, 3.0, None, None)],
        "1.0": [(0.0, 4.0, None, None), (1.0, 5.0, None, None), (2.0, 6.0, None, None)]}),
    (lambda a: a.imshow([[1.0], [2.0]], extent=(0, 10, 0, 20), origin="lower", aspect="auto"), {
        "5.0": [(5.0, 1.0, None, None)], "15.0": [(5.0, 2.0, None, None)]}),
    (lambda a: a.pcolormesh([0.0, 1.0, 3.0], [0.0, 2.0], [[7.0, 8.0]]), {
        "1.0": [(0.5, 7.0, None, None), (2.0, 8.0, None, None)]}),
    (lambda a: a.imshow(np.zeros((2, 2, 3))), {"not listed: AxesImage": [(None, None, None, None)]}),
    (lambda a: a.contour([[0.0, 1.0], [1.0, 2.0]], levels=[1.0]), {
        "not listed: QuadContourSet": [(None, None, None, None)]}),
    (lambda a: a.axvspan(1.0, 2.0), {"not listed: Rectangle": [(None, None, None, None)]}),
])  # fmt: skip
def test_every_kind_has_the_numbers_it_was_drawn_from(draw, expected):
    found = _rows(draw)
    assert list(found) == list(expected)
    for series, rows in expected.items():
        assert [row[0] for row in found[series]] == [row[0] for row in rows]
        assert [row[1:] for row in found[series]] == [tuple(map(_about, row[1:])) for row in rows]


def _about(value):
    return value if value is None else pytest.approx(value, abs=1e-12)


def test_what_is_not_a_number_hides_no_interval():
    found = _rows(lambda a: a.errorbar(X, [0.5, np.nan, 3.0], yerr=E, label="s"))["s"]
    assert found[0] == pytest.approx(WITH_ERRORS[0])
    assert np.isnan(found[1][1])
    assert found[2] == pytest.approx(WITH_ERRORS[2])


def test_ticks_that_are_numbers_leave_numbers():
    def draw(axes):
        axes.plot([1, 1000], [1.0, 2.0], label="s")
        axes.set_xticks([1, 1000], ["1", "1,000"])

    assert _rows(draw)["s"] == [(1.0, 1.0, None, None), (1000.0, 2.0, None, None)]


def test_a_heat_map_by_its_levels_and_without_its_scale():
    def whole(folder):
        figure, axes = panels(2)
        heats(
            axes, [np.array([[1.0, np.nan], [3.0, 4.0]])] * 2, [100, 2000], [0.1, 0.5], words="w", centre=2, form=".1f"
        )
        axes[0].set_title("first")
        axes[1].set_title("second")
        return save_figure(figure, folder, "heat")

    (chart,) = drawn_charts(whole, "x", "name")
    rows = list(csv.DictReader(io.StringIO(chart.csv)))
    assert {row["panel"] for row in rows} == {"first", "second"}
    found = [(row["series"], row["x"], row["y"]) for row in rows if row["panel"] == "first"]
    assert found == [("0.1", "100", "1.0"), ("0.1", "2,000", "nan"), ("0.5", "100", "3.0"), ("0.5", "2,000", "4.0")]


def _results(cells, methods, metrics, replicates=4):
    rng = np.random.default_rng(0)
    return Results.from_rows(
        {"cell_id": str(cell), "replicate": r, "method": method, "metric": metric, "seed_key": "0", "wall_s": 0.0,
         "value": float(rng.uniform(0.2, 1.0)), "status": "ok", **cell}
        for cell in cells for r in range(replicates) for method in methods for metric in metrics
    )  # fmt: skip


def _require(row, values):
    assert row[1:] == pytest.approx(
        (values.mean(), values.mean() - half_width(values), values.mean() + half_width(values))
    )


def test_bars_of_the_profiles_by_name_with_their_intervals():
    shown = ("mean", "least", "gini", "nash_lost", "scale_matters")
    profiles, rules = ("consensus", "polarised", "loud"), tuple(RULES)
    results = _results([{"profile": profile} for profile in profiles], rules, shown)
    (chart,) = drawn_charts(lambda folder: draw_profiles(results, folder), "x", "name")
    found = _by_series(chart, "mean share of own maximum")
    assert sorted(found) == sorted(rules)
    for rule, rows in found.items():
        assert [row[0] for row in rows] == list(profiles)
        for row in rows:
            _require(row, results.where(profile=row[0], method=rule, metric="mean").values())


def test_bars_of_the_bandit_have_the_intervals_drawn_over_them():
    """A bar, its interval by another call, a dot a seed: all by the policy's name and the group's."""
    metrics = [f"{name}/group_{z}" for name in ("regret", "weight", "annotators") for z in range(2)]
    cells = [{"backend": "log_linear", "recipe": recipe} for recipe in ("normalised", "literal")]
    results = _results(cells, ("pooled_dpo", "em_minmax"), metrics)
    charts = drawn_charts(lambda folder: draw_bandit(results, folder), "x", "name")
    found = _by_series(charts[0], "log-linear policies")
    for words, recipe, method in (
        ("pooled DPO, sampled", "normalised", "pooled_dpo"), ("EM + MinMax, literal", "literal", "em_minmax"),
        ("EM + MinMax, normalised", "normalised", "em_minmax"),
    ):  # fmt: skip
        for z, row in enumerate(found[words]):
            own = results.where(recipe=recipe, method=method, metric=f"regret/group_{z}").values()
            assert row[0].startswith(f"group {z + 1} (")
            _require(row, own)
            dots = [each[1] for each in found[f"{words}, each seed"] if each[0] == row[0]]
            assert dots == pytest.approx(list(own))
