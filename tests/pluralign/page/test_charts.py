"""The page's own figures: whatever is drawn lies inside, in the order of its numbers, and is said in words and CSV."""

import csv
import io
import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_checks import CHECK
from made_checks import rate as made_rate

from pluralign.page.charts import Curve, Line, Point, Row, curves_chart, plane_chart, rows_chart
from pluralign.page.claims import _claim, _measured, _rate
from pluralign.page.svg import WIDTH, number, scale_of
from theory.report.table import COLUMNS, INTERVAL, cells_of

VALUES = st.floats(allow_nan=True, allow_infinity=True) | st.none()


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "–"), (float("nan"), "–"), (-0.0, "0"), (0.5, "0.5"), (-1.25, "−1.25"), (1234.5, "1,234"), (1e-12, "1e−12"),
     (2e9, "2e9"), (-5e-324, "−4.94e−324"), (999.96, "1e3")],
)  # fmt: skip
def test_numbers_as_a_reader_writes_them(value, told):
    assert number(value) == told


@given(st.lists(VALUES, min_size=1, max_size=8), st.booleans())
def test_marks_lie_inside_and_in_order(values, bars):
    """Whatever the numbers, on straight or bent scales."""
    finite = [v for v in values if v is not None and abs(v) < 1e150]
    scale = scale_of(values, 10, 450, zero=bars)
    places = [scale(v) for v in sorted(finite)]
    assert places == sorted(places)
    assert all(0 <= place <= WIDTH for place in places)
    chart = rows_chart([Row("<a>", v) for v in values], "t", "w", "n.csv", bars=bars, lines=(Line(0.0, "zero"),))
    root = ElementTree.fromstring(chart.svg)
    height = float(root.get("height"))
    for element in root:
        for name in ("x", "x1", "x2", "cx", "y", "y1", "y2", "cy"):
            if element.get(name):
                most = height if "y" in name else WIDTH
                assert -1 <= float(element.get(name)) <= most + 1
    assert root.get("role") == "img"
    assert root.get("aria-label").startswith("t: <a>")


def _table(chart):
    return list(csv.DictReader(io.StringIO(chart.csv)))


def test_a_row_is_its_interval_and_its_line():
    rows = [Row("one", 2.0, (1.0, 3.0)), Row("two", 6.0, None, 1, hollow=True)]
    chart = rows_chart(rows, "t", "words", "n.csv", lines=(Line(4.0, "theory"),))
    assert [(row["label"], row["value"], row["low"]) for row in _table(chart)] == [
        ("one", "2.0", "1.0"), ("two", "6.0", ""), ("theory", "4.0", ""),
    ]  # fmt: skip
    root = ElementTree.fromstring(chart.svg)
    theory = next(float(e.get("x1")) for e in root if e.get("class") == "theory")
    disc = next(float(e.get("cx")) for e in root if e.tag.endswith("circle"))
    span = [
        float(e.get(end))
        for e in root
        if e.get("class") == "l c0"
        for end in ("x1", "x2")
        if e.get("y1") == e.get("y2")
    ]
    assert span[0] < disc < span[1]
    # Straight: the line at 4 stands as far beyond the disc at 2 as twice the half interval of 1.
    assert theory - disc == pytest.approx(2 * (disc - span[0]), abs=0.5)
    assert "line at 4: theory" in chart.told


def test_rates_are_straight_lines_by_decades():
    x = [10.0, 100.0, 1000.0]
    chart = curves_chart([Curve("measured", x, [1.0, 0.1, 0.01])], "t", ("n", "gap"), "n.csv", log=True)
    points = re.search(r'<polyline points="([^"]+)" class="l c0"', chart.svg)[1].split()
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert y0 < y1, "one is above a tenth"


def test_names_at_the_ends_of_curves_do_not_touch():
    curves = [Curve(f"curve {k}", [0, 1], [0.0, 1.0 + 0.001 * k], colour=k) for k in range(5)]
    root = ElementTree.fromstring(curves_chart(curves, "t", ("x", "y"), "n.csv").svg)
    at = sorted(float(e.get("y")) for e in root if (e.text or "").startswith("curve"))
    assert min(b - a for a, b in pairwise(at)) >= 13


def test_a_plane_numbers_its_points():
    chart = plane_chart(
        [Point("a", 0.0, 1.0), Point("b", 0.0, 1.0, True)], [(0.0, 1.0), (2.0, 0.0)], "t", ("x", "y"), "n"
    )
    texts = [e.text for e in ElementTree.fromstring(chart.svg)]
    assert "1  a" in texts
    assert "2  b" in texts
    assert [(row["kind"], row["label"]) for row in _table(chart)] == [
        ("policy", "a"), ("rule", "b"), ("front", ""), ("front", ""),
    ]  # fmt: skip


@given(st.lists(VALUES, min_size=1, max_size=6), st.booleans())
def test_any_curve_and_any_plane_is_drawn(values, log):
    """What is no number is left out, and by decades what is not above nothing."""
    x = [float(k + 1) for k in range(len(values))]
    curve = Curve("a", x, values, [None if v is None else v - 1 for v in values], values)
    ElementTree.fromstring(curves_chart([curve], "t", ("x", "y"), "n.csv", log=log, lines=(Line(0.5, "l"),)).svg)
    known = [v for v in values if v is not None]
    chart = plane_chart([Point("p", v, -v) for v in known], [(0.0, 1.0), (1.0, 0.0)], "t", ("x", "y"), "n.csv")
    assert "nan" not in ElementTree.fromstring(chart.svg).get("aria-label")


def test_the_bar_below_a_mean_that_is_negative_lies_below_it():
    curve = replace(made_rate().curve, mean=[0.5, -1.0, 0.1], standard_error=[0.1, 0.5, 0.2])
    rows = list(csv.DictReader(io.StringIO(_rate(replace(made_rate(), curve=curve)).csv)))
    low = [float(list(row.values())[3]) for row in rows if row and next(iter(row.values())) == "measured"]
    assert low == pytest.approx([0.3, -2.0, -0.3])


def test_an_interval_of_another_level_says_so():
    """A mean that is to lie within limits has a 90 % interval: under the words "95 %" it was another."""
    wide = replace(CHECK, interval_of="mean (90 %)")
    for check, said in ((CHECK, "measured"), (wide, "measured, 90 % interval")):
        table = list(csv.DictReader(io.StringIO(_measured(check).csv)))
        assert table[0]["label"] == said
    assert cells_of(wide)[COLUMNS.index(INTERVAL)] == "[0.4, 0.6] mean (90 %)"
    assert "as said" in INTERVAL
    assert "95 % interval" not in COLUMNS


def test_the_search_finds_letters_that_casefold_turns_into_others():
    """The script's toLowerCase leaves the sharp s as it is; casefold made two letters of it."""
    words = _claim("check1-x", [replace(CHECK, statement="Die STRA\u1e9eE und die Stra\u00dfe")], ()).words
    assert "die stra\u00dfe und die stra\u00dfe" in words
