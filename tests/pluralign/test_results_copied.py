"""Results go into another process and into copies, and what they give is the caller's own."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import pluralign as pl
from pluralign.api.shown import Shown

STUDY = """
from dataclasses import dataclass
import pluralign as pl

@dataclass(frozen=True)
class S:
    world: int = 0

def run(setting, stream, backends):
    return [pl.Measurement("m", "x", setting.world + float(stream.uniforms(1)[0]))]

OWN = pl.Experiment(S, run, {})
"""
GAME = [[0.0, 1.0], [1.0, 0.0]]
OPINIONS = [
    {"annotator_id": name, "prompt_id": "q", "candidates": ["a", "b"], "probs": probs}
    for name, probs in (("i", [0.2, 0.8]), ("j", [0.6, 0.4]))
]


def _item(pairs):
    return {"item": "a", "features": dict(zip(pairs.feature_names, pairs.features[0], strict=True))}


@pytest.fixture(scope="module")
def pairs():
    return pl.simulate(n_annotators=20, answers=8, seed=1)


@pytest.fixture(scope="module")
def fit(pairs):
    return pl.fit(pairs, n_types=2, restarts=2, seed=1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "copied_own.py").write_text(STUDY)
    (tmp_path / "own.yaml").write_text("experiment: copied_own:OWN\nreplicates: 2\ngrid: {world: [1, 2]}\n")
    return tmp_path


def _study(pairs, fit, **named):
    return pl.run_study("own.yaml", workers=1, engine="local", **named)


def _read_study(pairs, fit):
    _study(pairs, fit, out="done")
    return pl.load_study("done")


def _status(pairs, fit):
    _study(pairs, fit, out="done")
    return pl.study_status("done")


def _read_check(pairs, fit):
    pl.check("maxmin-example", workers=1, engine="local", out="checked")
    return pl.load_check("checked")


MADE = {
    "fit": lambda pairs, fit: fit,
    "read fit": lambda pairs, fit: (fit.save("fit"), pl.load_fit("fit"))[1],
    "assigned": lambda pairs, fit: fit.assign(pairs),
    "by type": lambda pairs, fit: fit.by_type(),
    "prediction": lambda pairs, fit: fit.predict([_item(pairs)]),
    "types": lambda pairs, fit: pl.em_dpo(pairs, 2),
    "clusters": lambda pairs, fit: pl.cluster_dpo(pairs, 2),
    "rewards": lambda pairs, fit: pl.bradley_terry(pairs),
    "shared": lambda pairs, fit: pl.shared_rewards(pairs, 1),
    "low rank": lambda pairs, fit: pl.low_rank_rewards(pl.simulate("low_rank", n_annotators=20, answers=8), 1),
    "logit": lambda pairs, fit: pl.conditional_logit(
        rows=np.random.default_rng(1).normal(size=(60, 2)), starts=range(61), annotator=range(60)
    ),
    "minmax": lambda pairs, fit: pl.minmax(GAME),
    "hedge": lambda pairs, fit: pl.hedge(GAME),
    "regrets": lambda pairs, fit: pl.regret_matrix([[0.5, 0.5], [0.2, 0.8]]),
    "ensemble": lambda pairs, fit: pl.minmax_dpo(pl.em_dpo(pairs, 2)),
    "aggregate": lambda pairs, fit: pl.aggregate(GAME),
    "welfare": lambda pairs, fit: pl.welfare([[1.0, 2.0], [2.0, 1.0]]),
    "winner": lambda pairs, fit: pl.von_neumann([[0.0, 0.5], [-0.5, 0.0]]),
    "pool": lambda pairs, fit: pl.pool(OPINIONS, mechanism=True),
    "axioms": lambda pairs, fit: pl.axioms("leximin", trials=10),
    "check": lambda pairs, fit: pl.check("maxmin-example", workers=1, engine="local"),
    "read check": _read_check,
    "claims": lambda pairs, fit: pl.claims(),
    "claim": lambda pairs, fit: pl.claim("maxmin-example"),
    "power": lambda pairs, fit: pl.power("maxmin-example"),
    "doctor": lambda pairs, fit: pl.doctor(),
    "studies": lambda pairs, fit: pl.studies(),
    "study": _study,
    "written study": lambda pairs, fit: _study(pairs, fit, out="done"),
    "read study": _read_study,
    "status": _status,
}


def _plant(value):
    """Change all that can be changed."""
    if isinstance(value, dict):
        for part in value.values():
            _plant(part)
        value["planted"] = 1
    elif isinstance(value, list | tuple):
        for part in value:
            _plant(part)
        if isinstance(value, list):
            value.append("planted")


@pytest.mark.parametrize("kind", MADE)
def test_a_result_is_copied_and_keeps_what_it_said(kind, here, pairs, fit):
    result = MADE[kind](pairs, fit)
    said, told = repr(result), repr(result.as_dict())
    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert (repr(again), repr(again.as_dict())) == (said, told)
    _plant(result.as_dict())
    assert (repr(result), repr(result.as_dict())) == (said, told)


def test_every_result_gives_what_is_the_callers_own():
    """Those above are made in a second; of all others the class is looked at."""
    import importlib
    import pkgutil

    import pluralign.api

    for module in pkgutil.iter_modules(pluralign.api.__path__):
        importlib.import_module(f"pluralign.api.{module.name}")
    kinds, found = [Shown], []
    while kinds:
        own = kinds.pop()
        kinds += own.__subclasses__()
        if "as_dict" in vars(own) and own is not Shown:
            found.append(own)
    assert len(found) > 20
    assert all(hasattr(own.as_dict, "__wrapped__") for own in found)


def test_a_copy_of_a_study_has_all_its_numbers(here, pairs, fit):
    read = _read_study(pairs, fit)
    again = pickle.loads(pickle.dumps(read))
    # The file of the first is another by now.
    _study(pairs, fit, out="done", seed=9, fresh=True)
    assert again.results.to_arrow().equals(read.results.to_arrow())
    assert again.results["seed_key"] == read.results["seed_key"]


def test_fits_are_made_in_processes_that_begin_anew(pairs, fit):
    """What a fork after a fit cannot do (docs/api.md)."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(pl.fit, pairs, n_types=2, restarts=2, seed=1).result(timeout=300)
    assert np.array_equal(found.model.theta, fit.model.theta)
