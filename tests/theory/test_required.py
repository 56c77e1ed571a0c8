"""What a claim of one's own gives in a wrong form is said in one line, with the claim's name."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import pluralign as pl
from sim.errors import InputError
from theory.engine.checks import check_theorem
from theory.engine.judges import Equivalent, EveryDraw, Exactly, Frequency, MeanAtLeast, MeanAtMost, Slope
from theory.engine.planning import plan
from theory.engine.theorem import Control, Measurement, Premise, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict

GRID = np.array([1.0, 10.0, 100.0])


@dataclass(frozen=True)
class Draws(Setting):
    replicates: int = 60
    shift: float = 0.0


class Own(Theorem[Draws]):
    claim_id, paper, source, statement = "own-form", "forms", "here", "The mean is at most 1."
    SETTINGS = {"as_stated": Variant(Draws())}

    def bound(self, setting):
        return MeanAtMost(1.0)

    def draw(self, setting, stream):
        return setting.shift + float(stream.uniforms(1)[0])

    def control(self, setting):
        return (Control("shifted", replace(setting, shift=5.0)),)


def _own(**parts):
    return type("Own", (Own,), parts)


def _drawing(shape, bound, **parts):
    def draw(self, setting, stream):
        return setting.shift + stream.uniforms(shape)

    return _own(draw=draw, bound=lambda self, setting: bound, **parts)


ONE = "judges one number a replicate \\(got arrays of shape \\(5,\\)\\); draw returns a number"
WRONG = [
    (_drawing(5, MeanAtMost(1.0)), f"'mean <=' {ONE}"),
    (_drawing(5, MeanAtLeast(0.1)), f"'mean >=' {ONE}"),
    (_drawing(5, Equivalent(0.5, 0.2)), f"'mean within 0.2 of' {ONE}"),
    (_drawing(5, Frequency(0.1, threshold=1.0)), f"'frequency <=' {ONE}"),
    (_drawing(1, MeanAtMost(1.0)), "shape \\(1,\\)"),
    (_drawing(0, EveryDraw(1.0)), "expected at least one number a replicate, got arrays of shape \\(0,\\)"),
    (_drawing(3, Slope(-0.5)), "'slope <=' needs a grid, an array of one axis \\(got a NoneType\\)"),
    (_drawing(3, Slope(-0.5), grid=lambda self, setting: [1, 2, 3]), "\\(got a list\\)"),
    (_drawing(2, Slope(-0.5), grid=lambda self, setting: GRID), "expected 3 numbers a replicate, one a grid point"),
    (_drawing(2, Slope(-0.5), grid=lambda self, setting: GRID[:2]), "a grid of at least 3 points, all positive"),
    (_drawing(3, Slope(-0.5), grid=lambda self, setting: GRID - 1.0), "a grid of at least 3 points, all positive"),
    (_own(draw=lambda self, setting, stream: np.zeros(1 + stream.replicate % 2)), "of one shape \\(got ndarray"),
    (_own(draw=lambda self, setting, stream: "much"), "draw must return a number, or arrays .* \\(got str of shape"),
    (_own(draw=lambda self, setting, stream: 1j), "draw must return a number, or arrays .* \\(got complex of shape"),
    (_own(measure=lambda self, setting, stream: np.zeros(60)), "must return a Measurement \\(got an array of shape"),
    (_own(measure=lambda self, setting, stream: Measurement([0.0])), "must be an array of numbers \\(got a list\\)"),
    (_own(measure=lambda self, setting, stream: Measurement(np.zeros(59))), "expected 60 replicates, got 59"),
    (_own(SETTINGS={"as_stated": Variant(Draws(0))}), "variant as_stated: replicates must be a whole number from 1"),
    (_own(SETTINGS={"as_stated": Variant(Draws(2.5))}), "replicates must be a whole number from 1 \\(got 2.5"),
    (_own(SETTINGS={"as_stated": Draws()}), "must map names to Variant \\(got a Draws at 'as_stated'\\); write"),
    (_own(SETTINGS={"as_stated": Variant(3)}), "variant as_stated must hold a Setting \\(got a int\\)"),
    (_own(SETTINGS={"as_stated": Variant(Draws)}), "variant as_stated must hold a Setting \\(got the Draws class\\)"),
    (_own(SETTINGS={"as_stated": Variant(Draws(shift=lambda: 3))}), "variant as_stated: Draws.shift: .*by its name"),
    (_own(bound=lambda self, setting: 1.0), "bound must return a limit and how it is judged \\(got a float\\); for"),
    (_own(bound=lambda self, setting: MeanAtMost), "\\(got the MeanAtMost class\\)"),
    (_own(bound=lambda self, setting: MeanAtMost(float("nan"))), "limit of its bound must be a number \\(got a float"),
    (_own(bound=lambda self, setting: MeanAtMost(GRID)), "must be a number \\(got an array of shape \\(3,\\)"),
    (_own(bound=lambda self, setting: Frequency(5.0, threshold=1.0)), "a frequency must lie in 0..1 \\(got 5\\)"),
    (_own(control=lambda self, setting: Control("one", setting)), "a tuple of Control \\(got a Control\\); write"),
    (_own(control=lambda self, setting: ("one",)), "must return a tuple of Control \\(got a str in them\\)"),
    (_own(control=lambda self, setting: (Control("one", 3),)), "control 'one' must hold a Setting \\(got a int\\)"),
    (_own(control=lambda self, setting: (Control("one", Draws(0)),)), "control 'one': replicates must be"),
    (_own(premises=lambda self, setting, stream: Premise("one", True, 1.0, "")),
     "tuple of Premise \\(got a Premise\\); write"),
    (_own(premises=lambda self, setting, stream: (True,)), "must return a tuple of Premise \\(got a bool in them\\)"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "said"), WRONG)
def test_each_is_one_line_that_names_the_claim(own, said):
    for ask in (lambda: pl.check(own(), workers=1), lambda: check_theorem(own(), "quick", 0)):
        with pytest.raises(InputError, match=f"^claim 'own-form': .*{said}") as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("own", [_drawing(5, MeanAtMost(1.0)), _drawing(5, Frequency(0.1, threshold=1.0))])
def test_so_it_is_where_power_is_planned(own):
    with pytest.raises(InputError, match=ONE):
        plan(own(), "as_stated", target=0.8)


@pytest.mark.parametrize("bound", [EveryDraw(1.0), Exactly(1.0)])
def test_arrays_are_what_some_judges_take(bound):
    """No number of any draw's array is above 1."""
    for shape in (5, (2, 3)):
        (found,) = check_theorem(_drawing(shape, bound)(), "quick", 0)
        assert found.verdict is Verdict.HOLDS
