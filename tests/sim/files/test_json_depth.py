"""Arrow is given no line that is nested deep: what it would follow into a crash, the pass over rows refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.files import json_depth
from sim.files.json_depth import DEEPEST, is_shallow

VALUES = st.recursive(
    st.none() | st.text('ab"\\[]{}\n', max_size=12) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\[', max_size=3), inner, max_size=3),
    max_leaves=12,
)


def _depth(value):
    if isinstance(value, dict | list):
        return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


@given(st.lists(st.dictionaries(st.text(max_size=2), VALUES, max_size=3), max_size=5), st.integers(1, 6))
def test_depth_is_that_of_the_objects_whatever_their_texts_hold(rows, most):
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_depth, "DEEPEST", most)
        patch.setattr(json_depth, "_PIECE", 16)
        # Lines of few characters cannot be deep, and are not looked at.
        assert is_shallow(lines) == all(_depth(row) <= most for row in rows)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_one_level_too_many_is_seen_wherever_it_stands(opening):
    closing = "]" if opening == "[" else "}"

    def line(depth):
        return '{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + ',"b":"' + "]}" * 500 + '"}'

    few = [line(DEEPEST)] * 3
    assert is_shallow("\r\n".join(few).encode())
    assert is_shallow(("\n\n".join(few) + "\n").encode())
    for place in range(3):
        assert not is_shallow("\n".join([*few[:place], line(DEEPEST + 1), *few[place:]]).encode())


@pytest.mark.parametrize("text", ['{"a":[\n[\n[1]]]}', '{"a":{}\n,"b":[]}', ' {"a":1}', '{"a":1} {', '[{"a":1}]'])
def test_what_is_no_object_a_line_is_for_the_pass_over_rows(text):
    assert not is_shallow(text.encode())
