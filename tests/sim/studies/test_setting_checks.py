"""Fields are held against their annotations, however these were written."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from settings_without_future_import import Plain, Unclear

from sim.studies.setting_checks import Count, check_kinds

WRONG = [
    ({"n": 0}, "n must be a whole number of at least 1"),
    ({"n": 1.0}, "n must be a whole number"),
    ({"n": True}, "n must be a whole number"),
    ({"zero": -1}, "zero must be a whole number of at least 0"),
    ({"share": "half"}, "share must be a number"),
    ({"share": False}, "share must be a number"),
    ({"fast": 1}, "fast must be true or false"),
    ({"name": 3}, "name must be a text"),
    ({"rule": "borda"}, "rule must be one of nash, leximin"),
    ({"several": 1.0}, "several must be a list of numbers"),
    ({"several": (1.0, "a")}, "several must be a list of numbers"),
    ({"two": (1,)}, "two must be a list"),
    ({"two": (0, "a")}, "two must be a list"),
    ({"maybe": "much"}, "maybe must be a number or null"),
    ({"either": 0}, "either must be a whole number of at least 1 or a text"),
]


@dataclass(frozen=True)
class Written:
    """The same kinds as strings."""

    n: int = 1
    zero: Count = 0
    share: float = 0.5
    fast: bool = False

    def __post_init__(self):
        check_kinds(self)


@pytest.mark.parametrize(("keys", "words"), WRONG)
def test_wrong_kinds(keys, words):
    with pytest.raises(ValueError, match=words):
        Plain(**keys)
    if set(keys) <= set(Written.__dataclass_fields__):
        with pytest.raises(ValueError, match=words):
            Written(**keys)


def test_right_kinds():
    Plain(n=3, zero=0, share=1, several=(), two=(2, "b"), maybe=1, either=4, rule="leximin")
    Written(n=2, share=2)


def test_a_field_that_cannot_be_checked_is_refused():
    with pytest.raises(TypeError, match="a setting's field may be"):
        Unclear()
