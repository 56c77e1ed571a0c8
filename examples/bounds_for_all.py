"""How often a lower bound on what a reward gives is right, at 1.645 standard errors in random directions.

    python examples/bounds_for_all.py

Populations are drawn anew, people and answers.  First of a reward common to all, where people differ and where they do
not: the truth is the mean of the fits, what they aim at, and the ridge is no error there.  Then of what methods fit by
default, ridges chosen, against the rewards by which people answered.
"""

from __future__ import annotations

import argparse

import numpy as np

import pluralign as pl
from sim.fitting.head_errors import head_errors

SETTINGS = ((2, 40, 40), (2, 12, 40), (1, 40, 40))


def drawn(n_types, people, answers, seed):
    """(theta (d,), its covariance (d, d)), in the units of the file."""
    pairs = pl.simulate(
        "opposed_tastes", n_annotators=people, answers=answers, seed=seed, n_types=n_types, n_features=3, strength=2.0
    )
    report = pl.fit(pairs, method="pooled", ridge=0.003, hold_out="people").report
    errors, scale = head_errors(report.fits, report.prepared), report.prepared.scales.scale
    assert errors is not None
    return report.fits.centre / scale, errors.of("stranger") / np.outer(scale, scale)


def right(n_types, people, answers, replicates):
    """(share of bounds that are right, standard deviation of the fits over populations, mean standard error)."""
    fits = [drawn(n_types, people, answers, 500 + seed) for seed in range(replicates)]
    theta = np.array([own for own, _ in fits])
    truth, rng = theta.mean(axis=0), np.random.default_rng(0)
    held = []
    for own, covariance in fits:
        directions = rng.normal(size=(50, 3))
        error = np.sqrt(np.einsum("kd,de,ke->k", directions, covariance, directions))
        held.append(directions @ own - 1.645 * error <= directions @ truth)
    spread = np.sqrt(((theta - truth) ** 2).mean())
    return float(np.mean(held)), float(spread), float(np.mean([np.sqrt(np.trace(c) / 3) for _, c in fits]))


def people_of(kind, people, n_features, strength, rng):
    """True rewards (people, n_features): one for all, two opposed, each her own, or each her own in a plane."""
    if kind == "one":
        return np.tile(strength * rng.normal(size=n_features), (people, 1))
    if kind == "opposed":
        one = strength * rng.normal(size=n_features)
        return np.array([one, -one])[rng.integers(0, 2, people)]
    if kind == "plane":
        plane = np.linalg.qr(rng.normal(size=(n_features, 2)))[0]
        return strength * rng.normal(size=(people, 2)) @ plane.T
    return strength * rng.normal(size=(people, n_features))


def answered(theta, answers, rng):
    """Pairs by the Bradley-Terry model."""
    rows = []
    for i, own in enumerate(theta):
        for a, b in rng.normal(size=(answers, 2, theta.shape[1])):
            first, second = (a, b) if rng.random() < 1 / (1 + np.exp(-(a - b) @ own)) else (b, a)
            rows.append({"annotator_id": f"a{i}", "prompt": "p", "chosen": first.tolist(), "rejected": second.tolist()})
    return rows


def right_by_default(method, kind, people, answers, n_features, strength, replicates):
    """(share of annotators' bounds that are right, the ridges that were chosen)."""
    held, ridges = [], set()
    for seed in range(replicates):
        rng = np.random.default_rng(seed)
        theta = people_of(kind, people, n_features, strength, rng)
        types = {"n_types": 2} if kind == "opposed" else {}
        report = pl.fit(answered(theta, answers, rng), method=method, seed=seed, hold_out="answers", **types).report
        errors, scale, model = head_errors(report.fits, report.prepared), report.prepared.scales.scale, report.model
        assert errors is not None
        ridges.add(model.ridge)
        for i, name in enumerate(report.prepared.table.annotators):
            if f"annotator:{name}" not in errors.names:
                continue
            fitted = model.theta[model.responsibilities[i].argmax() if method == "em-dpo" else i] / scale
            covariance = errors.of(f"annotator:{name}") / np.outer(scale, scale)
            directions = rng.normal(size=(50, n_features))
            error = np.sqrt(np.einsum("kd,de,ke->k", directions, covariance, directions))
            held.append(directions @ fitted - 1.645 * error <= directions @ theta[int(name[1:])])
    return float(np.mean(held)), sorted(ridges)


BY_DEFAULT = (
    ("pooled", "one", 40, 40, 3, 0.5), ("pooled", "one", 40, 40, 3, 1.0),
    ("cluster", "opposed", 40, 40, 3, 0.5), ("cluster", "opposed", 40, 40, 3, 1.0),
    ("em-dpo", "opposed", 40, 40, 3, 0.5), ("em-dpo", "opposed", 40, 40, 3, 1.0),
    ("personal", "own", 40, 30, 6, 0.5), ("personal", "own", 40, 30, 6, 1.0), ("personal", "own", 40, 100, 6, 1.0),
    ("personal", "own", 40, 30, 6, 2.0),
    ("shared", "plane", 40, 30, 16, 0.5), ("shared", "plane", 40, 30, 16, 1.0), ("shared", "plane", 100, 40, 16, 1.0),
)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--by-default", type=int, default=20, help="populations a method with its defaults")
    asked = parser.parse_args()
    for n_types, people, answers in SETTINGS if asked.replicates else ():
        share, spread, error = right(n_types, people, answers, asked.replicates)
        told = f"{n_types} types, {people} people, {answers} answers each"
        print(f"{told}: right {share:.3f}; fits differ by {spread:.3f}, standard error {error:.3f}", flush=True)
    for method, kind, people, answers, n_features, strength in BY_DEFAULT if asked.by_default else ():
        share, ridges = right_by_default(method, kind, people, answers, n_features, strength, asked.by_default)
        told = f"{method}, {kind}, {people} people, {answers} answers each, {n_features} features, strength {strength}"
        print(f"{told}: right {share:.3f}; ridges {', '.join(f'{ridge:g}' for ridge in ridges)}", flush=True)
