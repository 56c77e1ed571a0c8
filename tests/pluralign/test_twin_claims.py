"""Claims run on a language model: a few draws of each lie within its bound, and each control's do not."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from pluralign.twin_claims import CLAIMS  # noqa: E402
from pluralign.twin_models import fitted_types  # noqa: E402
from sim.streams import Stream  # noqa: E402
from theory.engine.checks import check_theorem, stream_of  # noqa: E402
from theory.engine.registry import select  # noqa: E402
from theory.engine.verdicts import Verdict  # noqa: E402

# Networks of this size are slower on several threads than on one.
torch.set_num_threads(1)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.claim_id)
def test_holds_and_every_control_is_caught(claim):
    """Four draws of each: too few for the verdict of a run, enough to see each control."""
    ((name, variant),) = claim.SETTINGS.items()
    few = replace(variant, setting=replace(variant.setting, replicates=4))
    (check,) = check_theorem(type("Few", (type(claim),), {"SETTINGS": {name: few}})(), "quick", 3)
    assert check.verdict is Verdict.HOLDS
    assert check.power >= 0.8
    assert {control.verdict for control in check.controls} == {Verdict.VIOLATED}
    assert min(control.measured for control in check.controls) > 10 * check.bound, "far beyond it"


def test_a_draw_can_be_made_again():
    """Other draws in between change the adapters; the same replicate gives the same number, as a witness needs."""
    claim = CLAIMS[1]
    (variant,) = claim.SETTINGS.values()
    stream = stream_of(claim, variant.setting, 3)
    first = claim.draw(variant.setting, stream)
    CLAIMS[2].draw(next(iter(CLAIMS[2].SETTINGS.values())).setting, stream.at(replicate=1))
    assert claim.draw(variant.setting, stream) == first


def test_fitted_adapters_are_put_back():
    fitted = fitted_types(Stream(3), 3)
    space, base = fitted.twin.space, fitted.twin.space.base
    fitted_types(Stream(3, replicate=1), 3)
    fitted_types(Stream(3), 3)
    rows = np.repeat(space.prompts, len(space.responses)), np.tile(space.responses, len(space.prompts))
    for policy, log_p in zip(fitted.policies, fitted.log_p, strict=True):
        assert base.score(policy.name, *rows) == pytest.approx(log_p.ravel(), abs=1e-5)


def test_claims_are_found_by_their_name():
    found = select(["pluralign.twin_claims:CLAIMS"])
    assert [claim.claim_id for claim in found] == [claim.claim_id for claim in CLAIMS]
    assert {claim.origin.place for claim in found} == {"pluralign.twin_claims:CLAIMS"}
