"""A method of one's own: `pluralign fit PAIRS --method skeleton:METHOD`.

This one: each annotator's reward is the mean of her answers' feature differences, shrunk to the common reward. Put
yours in its place: one class that says seven things. It then has its size and ridge chosen on held-out answers, is
scored beside the others in every table and figure, adapted to new annotators by its own `adapt`, saved and loaded.
"""

import numpy as np

import pluralign as pl


class MeanDifference(pl.Method):
    """theta_i = c + sum_j w_j d_j / (sum_j w_j + ridge), d_j = phi(chosen) - phi(rejected), c the common reward."""

    name = "skeleton"
    title = "mean difference"  # in figures
    beside = ("pooled", "personal")  # scored with it; the first is the common reward departures shrink to

    def grid(self, problem):
        """Sizes (0: none) and ridges to try on held-out answers; `untried` where nothing can be held out."""
        return pl.Grid(sizes=(0,), ridges=(1.0, 10.0, 100.0), untried=10.0, fixed=True)

    def fit(self, answers, size, ridge, task):
        """The model: here (n_annotators, d). answers: differences (n, d), annotator (n,), weights (n,)."""
        n, d = answers.n_annotators, answers.differences.shape[1]
        total = np.zeros((n, d))
        np.add.at(total, answers.annotator, answers.weights[:, None] * answers.differences)
        mass = np.bincount(answers.annotator, answers.weights, minlength=n)
        common = np.zeros(d) if task.centre is None else task.centre
        return {"theta": common + total / (mass + ridge)[:, None], "common": common, "ridge": np.array(ridge)}

    def log_likelihood(self, model, answers):
        """log P(chosen above rejected) of each answer; (n,)."""
        margin = (model["theta"][answers.annotator] * answers.differences).sum(axis=1)
        return -np.logaddexp(0.0, -margin)

    def adapt(self, model, answers):
        """For annotators of whom only `answers` are known, perhaps none; nothing else is refitted."""
        n, d = answers.n_annotators, len(model["common"])
        total = np.zeros((n, d))
        np.add.at(total, answers.annotator, answers.weights[:, None] * answers.differences)
        mass = np.bincount(answers.annotator, answers.weights, minlength=n)
        return {**model, "theta": model["common"] + total / (mass + model["ridge"])[:, None]}

    def describe(self, model, prepared, centre, stream):
        """Types or directions for a reader; () if it has none."""
        return ()

    def parameters(self, model):
        """All that `restore` needs, as named arrays."""
        return model

    def restore(self, parameters):
        """The model again, in another process."""
        return dict(parameters)


METHOD = MeanDifference
