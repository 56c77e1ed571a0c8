"""How often a lower bound on what a reward common to all gives is right, where people differ and where they do not.

    python examples/bounds_for_all.py

Populations are drawn anew, people and answers; of each the fitted common reward has lower bounds at 1.645 standard
errors in random directions.  The truth is the mean of the fits, what they aim at: the ridge is no error here.
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=100)
    replicates = parser.parse_args().replicates
    for n_types, people, answers in SETTINGS:
        share, spread, error = right(n_types, people, answers, replicates)
        told = f"{n_types} types, {people} people, {answers} answers each"
        print(f"{told}: right {share:.3f}; fits differ by {spread:.3f}, standard error {error:.3f}", flush=True)
