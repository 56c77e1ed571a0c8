"""Singular values of a fit against chance and across halves of the people."""

import numpy as np
import pytest
from tastes import table_of_tastes

from sim.fitting.contexts import ContextAnswers, context_answers, known_contexts
from sim.fitting.diagnostics import spectrum as spectrum_module
from sim.fitting.diagnostics.spectrum import context_spectrum, premise
from sim.fitting.prepare import prepare
from sim.streams import Stream


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_of_tastes(tmp_path_factory)


def test_contexts_that_say_nothing_have_no_spectrum(tmp_path_factory):
    silent = table_of_tastes(tmp_path_factory, effect=0.0)
    prepared = known_contexts(prepare(silent, Stream(0, cell="fit")))
    spectrum = context_spectrum(context_answers(prepared.answers(prepared.train)), 0.3, Stream(5))
    assert spectrum.above == 0
    assert (spectrum.p_value > 0.02).all()
    assert "no rank to speak of" in premise(spectrum)
    # No direction found in one half of the people is there in the other.
    assert abs(spectrum.cross_fitted[0]) < 0.6 * spectrum.values[0]


@pytest.mark.parametrize("seed", [18, 19, 20])
def test_as_many_directions_as_there_are(tmp_path_factory, seed):
    """Two, in draws in which the third singular value is above the third of noise alone (not above its first)."""
    faint = table_of_tastes(tmp_path_factory, effect=0.35, seed=seed, people=80, answers=30)
    prepared = known_contexts(prepare(faint, Stream(0, cell="fit")))
    spectrum = context_spectrum(context_answers(prepared.answers(prepared.train)), 0.1, Stream(seed))
    assert spectrum.above == 2
    assert (spectrum.p_value[:2] < 0.01).all()


def test_halves_agree_on_directions_that_are_there(table):
    prepared = known_contexts(prepare(table, Stream(0, cell="fit")))
    spectrum = context_spectrum(context_answers(prepared.answers(prepared.train)), 0.03, Stream(5))
    assert spectrum.cross_fitted[:2] == pytest.approx(spectrum.values[:2], rel=0.25)
    assert (np.abs(spectrum.cross_fitted[2:]) < 0.1 * spectrum.values[0]).all()
    assert (spectrum.null[0] < spectrum.null[1]).all()
    assert (spectrum.null[1] < spectrum.null[2]).all()
    assert "2 directions carry" in premise(spectrum)


def test_chance_deals_contexts_among_people_who_answered_as_much(monkeypatch):
    """Light users' profiles are noisier; dealt to heavy users they would be another problem."""
    people, n = 60, 3000
    person = np.sort(np.minimum(Stream(6).integers(people * people, n) ** 0.5, people - 1).astype(int))
    contexts = np.hstack([np.full((people, 1), 10.0), np.arange(people)[:, None] + Stream(7).normals((people, 1))])
    answers = ContextAnswers(contexts, Stream(8).normals((n, 3)), person, np.ones(n))
    dealt = []

    def kept(answers, ridge, start=None, tolerance=1e-9):
        dealt.append(answers.contexts)
        return np.ones((2, 3))

    monkeypatch.setattr(spectrum_module, "fit_full", kept)
    context_spectrum(answers, 0.1, Stream(9))
    total = np.bincount(person, minlength=people)
    tenth = np.empty(people, dtype=int)
    tenth[np.argsort(total, kind="stable")] = np.arange(people) // 10
    others = [c for c in dealt if not np.array_equal(c, contexts)]
    assert len(others) == spectrum_module.PERMUTATIONS
    origin = np.array([np.searchsorted(np.sort(contexts[:, 1]), c[:, 1]) for c in others])
    back = np.argsort(contexts[:, 1])[origin]
    assert (tenth[back] == tenth).all()
    assert ((back == np.arange(people)).mean(axis=0) < 0.3).all()
