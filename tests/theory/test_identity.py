"""Settings: another value is another text, and the text is the same in every process."""

import math
import operator
import subprocess
import sys
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT

from sim.errors import InputError
from theory.engine.checks import check_theorem
from theory.engine.identity import identity
from theory.engine.judges import EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict


@dataclass(frozen=True)
class Held(Setting):
    held: Any = None
    beside: Any = None


@dataclass(frozen=True)
class Part:
    weights: Any


class Colour(Enum):
    RED = 1


def _spiked(n, at, value):
    made = np.zeros(n)
    made[at] = value
    return made


class Own:
    def __str__(self):
        return f"Own at {id(self):#x}"


class Silent:
    def bound(self):
        return 0.0

    @classmethod
    def made(cls):
        return 0.0


DIFFERENT = [
    None, "None", True, "True", 1, "1", 1.0, "1.0", 1.0 + 1e-15, 1j, math.nan, "nan", math.inf, "", "a", "a,b=2", b"a",
    np.zeros(2000), _spiked(2000, 1000, 5.0), _spiked(2000, 1000, 5.0 + 1e-12), np.zeros((2, 1000)),
    np.zeros(2000, dtype=np.float32), np.float32(0.1), 0.1, np.zeros(2000, dtype=np.int64),
    np.array([None, "a"]), np.array([None, "b"]),
    (1.0, 2.0), [1.0, 2.0], (1.0,), ("1.0",), (), {"a": 1}, {"a": 2}, {"a", "b"}, frozenset({"a", "c"}),
    (np.zeros(2000), 1), (_spiked(2000, 1000, 5.0), 1), Part(np.zeros(2000)), Part(_spiked(2000, 1000, 5.0)), Part(1),
    math.sin, np.sin, "math.sin", np.zeros, operator.add, Part, partial(operator.add, 1), partial(operator.add, 2),
    Silent.made,
    Colour.RED, Fraction(1, 3), "Fraction<1/3>", Path("a"), range(3), range(4),
]  # fmt: skip


def test_other_values_have_other_texts():
    texts = [Held(held=value).key() for value in DIFFERENT]
    assert len(set(texts)) == len(texts)
    assert all(len(text) < 200 for text in texts)
    # Nor may a field's end be taken for another field.
    pairs = [
        Held(held=one, beside=other).key() for one, other in combinations(["a", "a,beside=b", "b", "b,beside=b"], 2)
    ]
    assert len(set(pairs)) == len(pairs)


def test_equal_values_have_one_text():
    assert identity(_spiked(3, 1, 2.0)) == identity(np.array([0.0, 2.0, 0.0]))
    assert identity(np.arange(6.0).reshape(2, 3).T) == identity(np.arange(6.0).reshape(2, 3).T.copy())
    assert identity(np.float64(0.1)) == identity(0.1)
    assert identity(np.arange(3.0).astype(">f8")) == identity(np.arange(3.0))


def test_what_was_readable_is():
    assert Held(3, held="pigou-dalton", beside=(-1.0, 0.0)).key() == "replicates=3,held=pigou-dalton,beside=(-1.0, 0.0)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda x: x, "<lambda> of test_identity cannot be found again by its name"),
        ((1, [lambda x: x]), "cannot be found again"),
        (partial(lambda x: x, 1), "cannot be found again"),
        (Silent(), "an object of test_identity.Silent has no lasting identity"),
        (Silent().bound, "an object of test_identity.Silent has no lasting identity"),
        (Own(), "an object of test_identity.Own has no lasting identity"),
        (Part(Silent()), "an object of test_identity.Silent"),
        (np.array([Silent()]), "an object of test_identity.Silent"),
        (np.random.default_rng(0), "no lasting identity"),
    ],
)
def test_what_lies_somewhere_in_memory_is_refused(value, said):
    with pytest.raises(InputError, match=f"Held.held: .*{said}.*; give numbers") as caught:
        Held(held=value).key()
    assert "\n" not in str(caught.value)


def test_a_function_within_another_is_refused():
    def inner():
        return 0.0

    with pytest.raises(InputError, match="inner of test_identity cannot be found again"):
        identity(inner)


_ASKED = """
import math, numpy as np
from theory.engine.identity import identity
print(identity(({"a", "b", "c", "d"}, math.sin, np.exp, np.arange(2000.0), identity)))
"""


def test_every_process_says_the_same():
    said = {
        subprocess.run(
            [sys.executable, "-c", _ASKED], capture_output=True, text=True, check=True, cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


class Toy(Theorem[Held]):
    """The largest weight, with noise: at most 1."""

    claim_id, paper, source, statement = "toy", "toys", "toys", "A toy."
    SETTINGS = {
        "as_stated": Variant(Held(100, np.zeros(2000))),
        "as_printed": Variant(Held(100, _spiked(2000, 1000, 5.0)), Verdict.VIOLATED),
    }

    def bound(self, setting):
        return EveryDraw(1.0)

    def draw(self, setting, stream):
        return float(setting.held.max()) + 0.5 * float(stream.uniforms(1)[0])

    def control(self, setting):
        return (Control("spiked", replace(setting, held=_spiked(2000, 1001, 9.0))),)


def test_a_variant_is_not_given_the_measurement_of_another():
    """Arrays of more than 1,000 numbers were cut to their ends: both variants held."""
    found = check_theorem(Toy(), "quick", 0)
    assert [check.verdict for check in found] == [Verdict.HOLDS, Verdict.VIOLATED]
