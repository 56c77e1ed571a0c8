"""What a control shares with the claim it breaks is computed once, and is what it would compute itself."""

import numpy as np
import pytest

from sim.streams import Stream
from theory.engine.checks import stream_of
from theory.engine.kept import keeping, kept
from theory.engine.registry import all_theorems
from theory.engine.theorem import PROFILES, Theorem

SHARING = [own for own in all_theorems() if type(own).drawn_as is not Theorem.drawn_as]


def shared_controls(theorem, profile):
    """(variant's setting, control's setting) of controls that draw from another setting's streams."""
    for variant in theorem.SETTINGS.values():
        setting = theorem.at_profile(variant.setting, profile)
        for control in theorem.control(variant.setting):
            broken = theorem.at_profile(control.setting, profile)
            if theorem.drawn_as(broken) != broken:
                yield setting, broken


def test_computed_once_in_a_check_and_forgotten_after_it():
    asked = []

    @kept
    def double(stream, factor=2.0):
        asked.append(stream.replicate)
        return factor * stream.replicate

    with keeping():
        assert [double(Stream().at(replicate=r)) for r in (3, 3, 4)] == [6.0, 6.0, 8.0]
        assert double(Stream().at(replicate=3), factor=5.0) == 15.0
        assert asked == [3, 4, 3]
    with keeping():
        assert double(Stream().at(replicate=3)) == 6.0
    assert double(Stream().at(replicate=3)) == double(Stream().at(replicate=3)) == 6.0
    assert asked == [3, 4, 3, 3, 3, 3]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("theorem", SHARING, ids=lambda own: own.claim_id)
def test_a_control_draws_what_its_claim_draws(theorem, profile):
    found = list(shared_controls(theorem, profile))
    assert found
    for setting, broken in found:
        # The claim itself goes on drawing from its own: what it measures does not depend on its controls.
        assert theorem.drawn_as(setting) == setting
        assert stream_of(theorem, broken, 5) == stream_of(theorem, setting, 5)
        assert broken.replicates <= setting.replicates


@pytest.mark.parametrize("theorem", SHARING, ids=lambda own: own.claim_id)
def test_a_control_computes_the_same_after_its_claim(theorem):
    setting, broken = next(shared_controls(theorem, "quick"))
    streams = [stream_of(theorem, broken, 5).at(replicate=r) for r in range(4)]
    with keeping():
        claims = [theorem.draw(setting, stream) for stream in streams]
        after = [theorem.draw(broken, stream) for stream in streams]
    np.testing.assert_array_equal(after, [theorem.draw(broken, stream) for stream in streams])
    np.testing.assert_array_equal(claims, [theorem.draw(setting, stream) for stream in streams])
    # It is broken: the same draws give something else.
    assert not np.array_equal(after, claims)
