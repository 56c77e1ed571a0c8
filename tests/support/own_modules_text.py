"""Texts of modules of a user's own: a method that fits the mean of the differences, an experiment that tosses coins."""

SUMS = """
import numpy as np
from sim.fitting.method import Diagnosis, Grid, Method
from sim.likelihoods import log_sigmoid
{head}
class {kind}(Method):
    name, beside = "{name}", ("pooled",)
{first}
    def grid(self, problem):
        return Grid((0,), (1.0,), untried=1.0, fixed=True)

    def fit(self, answers, size, ridge, task):
        return {fitted}

    def log_likelihood(self, model, answers):
        return log_sigmoid(answers.differences @ model)

    def adapt(self, model, answers):
        return model

    def describe(self, model, prepared, centre, stream):
        return ()

    def parameters(self, model):
        return {{"sums": model}}

    def restore(self, parameters):
        return parameters["sums"]
{last}
"""

COINS = """
from dataclasses import dataclass
from sim.studies.experiment import Experiment, Figure, Measurement
from sim.studies.plots import curve, finish, panels
from sim.studies.setting_checks import check_kinds
from sim.studies.summary import means_table
{head}
@dataclass(frozen=True)
class Coins:
    n: int = 1
    def __post_init__(self):
        check_kinds(self)

def run(setting, stream, backends):
    return [Measurement("coin", "heads", FACTOR * float(stream.uniforms(setting.n).mean()))]

def draw(results, folder):
    figure, axes = panels(1)
    curve(axes[0], results, "n", "heads", "coin", 0, method="coin")
    return finish(figure, results, "Coins", folder, "coins")
{last}
"""


def sums_module(name, kind="Sums", *, head="", first="", fitted="answers.differences.mean(axis=0)", last=""):
    """`name`: the method's; head goes before the class, first and last into it."""
    return SUMS.format(name=name, kind=kind, head=head, first=first, fitted=fitted, last=last)


def coins_module(head, last):
    """head says what FACTOR is, last makes the experiment of `Coins`, `run` and `draw`."""
    return COINS.format(head=head, last=last)
