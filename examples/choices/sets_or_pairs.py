"""What choices out of a set tell beyond pairs made from them: held-out likelihood of types fitted to each.

    pluralign convert choices electricity.csv.gz --out electricity.parquet
    python examples/choices/sets_or_pairs.py electricity.parquet --out figures

A choice out of four is three pairs, taken against each other: these are dependent, and leave out that the alternative
taken beat all others at once.  Both fits are scored on the same held-out answers, as choices out of the whole set.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sim.estimators.bootstrap import cluster_interval
from sim.files.figure_files import save_figure, subplots
from sim.files.palette import BLUE, ORANGE
from sim.files.preference_files import read_pairs
from sim.fitting.prepare import prepare
from sim.fitting.type_model import fit_types
from sim.streams import Stream

TYPES = (1, 2, 3, 4, 6)
LIKELIHOODS = {"plackett-luce": "choices out of the set", "bradley-terry": "pairs made from them"}


def held_out(table, n_types, likelihood, seed, restarts):
    """(n_test,) log-likelihoods of held-out answers, and whose they are."""
    prepared = prepare(table, Stream(seed), "answers", likelihood)
    model = fit_types(prepared.answers(prepared.train), n_types, 0.003, None, restarts, Stream(seed, role="types"))
    test = prepared.answers(prepared.test)
    return model.log_likelihood_of(test), test.annotator


def compared(table, seeds, restarts):
    """A row a number of types: means, and the paired difference with its 95 % interval over people."""
    rows = []
    for n_types in TYPES:
        scores = {name: [] for name in LIKELIHOODS}
        people = []
        for seed in range(seeds):
            for name in LIKELIHOODS:
                own, annotator = held_out(table, n_types, name, seed, restarts)
                scores[name].append(own)
            people.append(annotator)
        whole = {name: np.concatenate(own) for name, own in scores.items()}
        gain, annotator = whole["plackett-luce"] - whole["bradley-terry"], np.concatenate(people)
        low, high = cluster_interval(gain, annotator, Stream(0, role="interval"))
        means = {name: float(own.mean()) for name, own in whole.items()}
        rows.append({"types": n_types, **means, "difference": float(gain.mean()), "interval": [low, high]})
    return rows


def draw(rows, folder):
    figure, (left, right) = subplots(1, 2, figsize=(8.0, 3.2), layout="constrained")
    at = [row["types"] for row in rows]
    for (name, title), colour, marker in zip(LIKELIHOODS.items(), (BLUE, ORANGE), "os", strict=True):
        left.plot(at, [row[name] for row in rows], marker=marker, color=colour, label=title)
    left.set(xlabel="types", ylabel="held-out log-likelihood (nats a choice)", xticks=at)
    left.legend(title="fitted to", frameon=False)
    middle = np.array([row["difference"] for row in rows])
    bounds = np.array([row["interval"] for row in rows])
    spread = np.abs(bounds.T - middle)
    right.errorbar(at, middle, yerr=spread, marker="o", color=BLUE, capsize=3, linestyle="none")
    right.axhline(0.0, color="0.45", linewidth=0.8)
    right.set(xlabel="types", ylabel="gain of choices over pairs (nats)", xticks=at)
    save_figure(figure, folder, "choices_sets_or_pairs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("answers", help="a file of choices, as `pluralign convert choices` writes it")
    parser.add_argument("--seeds", type=int, default=5, help="splits into training and held-out answers")
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--out", default=".", help="folder for the figure")
    given = parser.parse_args()
    rows = compared(read_pairs(given.answers), given.seeds, given.restarts)
    Path(given.out).mkdir(parents=True, exist_ok=True)
    draw(rows, given.out)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
