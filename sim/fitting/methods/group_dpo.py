"""Group-robust DPO with known groups (Ramesh et al. 2024, arXiv 2405.20304): a baseline."""

from __future__ import annotations

import numpy as np

from sim.algorithms.group_robust_dpo import GroupRobustFit, group_robust_dpo
from sim.counted import counted
from sim.errors import InputError
from sim.fitting.diagnostics.known_groups import groups_held_out
from sim.fitting.method import Diagnosis, Fits, Grid, Problem, Say, Task
from sim.fitting.methods.pooled import Pooled
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.settings import FitSettings
from sim.preferences import BoolArray
from sim.streams import Stream


class GroupDPO(Pooled):
    """min over theta of max_g L_g(theta) + 0.5 ridge |theta|^2, one reward for all, the groups those of `group_id`."""

    name = "group-dpo"
    title = "group-robust DPO, known groups"
    takes_choices = False
    knows_errors = False
    wants_groups = True

    def grid(self, problem: Problem) -> Grid:
        return Grid((0,), (0.003, 0.03, 0.1, 0.3), untried=0.03, fixed=True)

    def fit_rows(self, prepared: Prepared, rows: BoolArray, size: int, ridge: float, task: Task) -> RewardModel:
        try:
            return self.fit(prepared.answers(rows), size, ridge, task)
        except NoGroups as error:
            raise InputError(
                f"method: 'group-dpo' {error}", file=prepared.table.source, field="group_id",
                fix="give each annotator a group_id",
            ) from error  # fmt: skip

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        theta = _fitted(answers, ridge).theta
        return RewardModel(theta, np.tile(theta, (answers.n_annotators, 1)), 0, ridge)

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """The groups' weights and training losses in the end, and each method's held-out score group by group."""
        answers = prepared.answers(prepared.train)
        found, names = _fitted(answers, fits.model.ridge), _names(answers)
        groups = [
            {"group": name, "weight": float(weight), "training_loss": float(loss)}
            for name, weight, loss in zip(names, found.weights, found.losses, strict=True)
        ]
        parts = {"kind": "group-robust", "rank": None, "robust": {"groups": groups, "gap": found.gap}}
        return Diagnosis({**parts, "by_group": groups_held_out(fits, prepared, names, stream)})


class NoGroups(ValueError):
    """Somebody's group is not known."""


def _names(answers: Answers) -> list[str]:
    """Of groups with answers, sorted."""
    if answers.groups is None:
        raise NoGroups("needs known groups, and there are none")
    missing = [i for i in answers.answered if not answers.groups[i]]
    if missing:
        raise NoGroups(f"needs everybody's group, and there is none of {counted(len(missing), 'annotators')}")
    return sorted({answers.groups[i] for i in answers.answered})


def _fitted(answers: Answers, ridge: float) -> GroupRobustFit:
    names = _names(answers)
    assert answers.groups is not None
    of_annotator = np.array([names.index(own) if own in names else -1 for own in answers.groups])
    return group_robust_dpo(
        answers.differences, of_annotator[answers.annotator], len(names), weights=answers.weights, ridge=ridge
    )
