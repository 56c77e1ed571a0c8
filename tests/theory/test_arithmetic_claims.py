"""A claim is marked arithmetic exactly where its measurement calls nothing of `sim` but numbers drawn and checked."""

import sys
from pathlib import Path

import pytest

import sim
from theory.engine.checks import stream_of
from theory.engine.registry import papers, theorems_of
from theory.mutation.worker import _forget

SIM = str(Path(sim.__file__).parent) + "/"
# What every draw needs: the generator and that it is compiled, types of arrays, checks of arguments.
COMMON = (
    "streams",
    "compiled/philox",
    "compiled/linking",
    "compiled/turns",
    "compiled/jit",
    "preferences",
    "arguments",
    "errors",
)
# The claims of `calibration` measure what judges the others, and the generator.
CLAIMS = [theorem for paper in papers() if paper != "calibration" for theorem in theorems_of(paper)]


class _Called(Exception):
    pass


def _first_called(theorem) -> str:
    """The first function of `sim` that one draw calls; empty where it calls none."""
    ((_, variant), *_) = theorem.SETTINGS.items()
    stream = stream_of(theorem, variant.setting, 0).at(replicate=0)

    def calls(frame, event, argument):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(SIM) and frame.f_code.co_name != "<module>":
            name = file[len(SIM) :].removesuffix(".py")
            if not name.startswith(COMMON):
                raise _Called(f"{name}:{frame.f_code.co_name}")

    _forget()
    before = sys.getprofile()
    sys.setprofile(calls)
    try:
        theorem.draw(variant.setting, stream)
    except _Called as called:
        return str(called)
    finally:
        sys.setprofile(before)
    return ""


@pytest.mark.parametrize("theorem", CLAIMS, ids=lambda theorem: theorem.claim_id)
def test_a_claim_is_marked_arithmetic_where_it_calls_no_code_of_sim(theorem):
    called = _first_called(theorem)
    assert theorem.arithmetic is (not called), (
        f"{theorem.claim_id} is{'' if theorem.arithmetic else ' not'} marked arithmetic, and a draw calls "
        f"{called or 'nothing of sim'}"
    )
