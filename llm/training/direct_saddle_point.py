"""The direct saddle point on a language model: one new adapter against the worst group.

    min_phi max_{p in simplex} sum_z p_z c_z L_z(pi_phi),    L_z(pi) = beta (E_{pi_z} h_z - E_pi h_z)

with h_z = log(pi_z / pi_ref).                    [arXiv 2405.15065, direct formulation, sign as it must be]
Gradients by REINFORCE over whole responses with a leave-one-out baseline over the responses to one prompt; both players
optimistic (2 G_t - G_{t-1}, from the same round). The adversary may also play the empty group z0, whose loss is 0:
here, unlike in ensembles, an unregularised regret can be negative.  The objective has no KL term, and its optimum lies
on the boundary of the simplex: `kl` adds one, and the divergence reached is reported either way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from llm.base.journal import Journal, fingerprint
from llm.base.progress import Progress
from llm.base.sequences import collate
from llm.base.shared_base import SharedBase
from llm.training.adapter_policy import AdapterPolicy
from llm.training.finite import require_finite
from sim.algorithms.regret import checked_priorities
from sim.errors import InputError
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True)
class SaddleSettings:
    """steps; prompts and responses to each a step; rate of the policy (AdamW on the optimistic gradient: the paper
    gives no step); group_step of Hedge on groups; kl: strength tau of -tau KL(pi || pi_ref)."""

    steps: int = 60
    prompts: int = 16
    samples: int = 4
    rate: float = 1e-3
    group_step: float = 0.05
    kl: float = 0.0
    clip: float = 1.0
    checkpoint_steps: int = 10

    def __post_init__(self) -> None:
        for name in ("steps", "prompts", "rate", "group_step", "clip", "checkpoint_steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"direct.{name} must be positive (got {getattr(self, name)})")
        if self.samples < 2 or self.kl < 0:
            raise ValueError(
                f"direct.samples must be at least 2, direct.kl not negative (got {self.samples}, {self.kl})"
            )


@dataclass(frozen=True)
class SaddleStep:
    """One step: the groups' regrets on its samples (K,), the worst weighted one, the adversary's play (K + 1,), the
    divergence from the reference (nats), and the norm of the gradient."""

    step: int
    regret: tuple[float, ...]
    worst: float
    adversary: tuple[float, ...]
    kl: float
    grad_norm: float


@dataclass(frozen=True, eq=False)
class SaddleResult:
    """policy: the adapter.  adversary (K + 1,): the average play, z0 last.  record: one row a step."""

    policy: AdapterPolicy
    adversary: FloatArray
    record: tuple[SaddleStep, ...]


def leave_one_out(rewards: FloatArray) -> FloatArray:
    """r_ij minus the mean of the other responses to prompt i: an unbiased baseline; (n, S) -> (n, S)."""
    S = rewards.shape[1]
    return np.asarray((rewards - rewards.mean(axis=1, keepdims=True)) * S / (S - 1))


def direct_saddle_point(
    base: SharedBase,
    groups: Sequence[AdapterPolicy],
    own_value: FloatArray,
    contexts: IntArray,
    settings: SaddleSettings,
    stream: Stream,
    *,
    name: str = "direct",
    priorities: Sequence[float] | None = None,
    journal: Journal | None = None,
    progress: Progress = lambda text: None,
) -> SaddleResult:
    """Train adapter `name`, which starts as the reference.

    own_value: E_{pi_z} h_z of each group's policy (K,), the diagonal of the discrepancies.
    """
    # One function on purpose: a round is read as the two players' simultaneous moves, both from its own samples.
    K, beta = len(groups), groups[0].beta
    c = checked_priorities(None if priorities is None else list(priorities), K)
    journal = journal or Journal(None)
    base.add_adapter(name, stream.child("start"))
    policy = AdapterPolicy(base, name, beta=beta, sampling=groups[0].sampling, stream=stream)
    parameters = base.parameters_of(name)
    optimizer = torch.optim.AdamW(parameters.values(), lr=settings.rate, weight_decay=0.0)
    # How often it is kept does not change it.
    deciding = {name: value for name, value in asdict(settings).items() if name != "checkpoint_steps"}
    key = "direct-" + fingerprint(deciding, own_value, c, [g.identity for g in groups], base.store.digest(contexts))
    state = _State.start(K)
    found = journal.read(key)
    if found is not None:
        state = _State.restore(found, parameters, optimizer)
        progress(f"direct saddle point resumed at step {state.step}")
    while state.step < settings.steps:
        own = stream.at(replicate=state.step)
        asked = contexts[own.child("prompts").integers(len(contexts), settings.prompts)]
        repeated = np.repeat(asked, settings.samples)
        responses = policy.sample(repeated, own.child("samples"))
        # What was scored before is not scored again, and a restart has scored less: no score may tell.
        with base.scorer.each_alone():
            h = np.stack([group.log_ratio(repeated, responses) for group in groups])
            log_ratio = policy.log_ratio(repeated, responses)
        losses = np.append(c * beta * (own_value - h.mean(axis=1)), 0.0)
        adversary = np.exp(state.log_adversary)
        reward = beta * (adversary[:K] * c) @ h - settings.kl * log_ratio
        advantage = leave_one_out(reward.reshape(settings.prompts, settings.samples)).ravel()
        gradient = _gradient(base, name, parameters, repeated, responses, advantage)
        previous = state.gradient or gradient
        for parameter_name, parameter in parameters.items():
            parameter.grad = 2 * gradient[parameter_name] - previous[parameter_name]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip))
        if not math.isfinite(norm):
            raise InputError(
                f"the direct policy diverged at step {state.step + 1}", field="direct.rate",
                fix=f"lower it (now {settings.rate:g})",
            )  # fmt: skip
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        policy.changed()
        before = losses if state.losses is None else state.losses
        moved = state.log_adversary + settings.group_step * (2 * losses - before)
        state.log_adversary = moved - np.logaddexp.reduce(moved)
        state.gradient, state.losses = gradient, losses
        state.adversary_sum = state.adversary_sum + np.exp(state.log_adversary)
        state.record.append(
            SaddleStep(
                state.step, tuple((losses[:K] / c).tolist()), float(losses.max()), tuple(adversary.tolist()),
                float(log_ratio.mean()), norm,
            )
        )  # fmt: skip
        state.step += 1
        if state.step % settings.checkpoint_steps == 0 or state.step == settings.steps:
            require_finite(parameters, "the direct policy", "direct.rate", settings.rate)
            state.save(journal, key, parameters, optimizer if state.step < settings.steps else None)
            recent = np.mean([row.regret for row in state.record[-settings.checkpoint_steps :]], axis=0)
            shown = ", ".join(f"{value:.3f}" for value in recent)
            progress(f"direct step {state.step}/{settings.steps}: regrets {shown}; KL {log_ratio.mean():.2f}")
    return SaddleResult(policy, state.adversary_sum / state.step, tuple(state.record))


def _gradient(
    base: SharedBase, name: str, parameters: dict[str, torch.nn.Parameter], contexts: IntArray, responses: IntArray,
    advantage: FloatArray,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """-grad of mean_j advantage_j log pi(y_j | x_j): descending it raises the expected reward."""
    with base.using(name):
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        scores = base.scorer(collate(base.store, contexts, responses, base.pad, base.device))
        weight = torch.as_tensor(advantage, dtype=scores.dtype, device=scores.device)
        loss = -(weight * scores).mean()
        found = torch.autograd.grad(loss, list(parameters.values()))
    return {key: value.detach().clone() for key, value in zip(parameters, found, strict=True)}


@dataclass
class _State:
    """Where the two players are."""

    step: int
    log_adversary: FloatArray
    adversary_sum: FloatArray
    losses: FloatArray | None
    gradient: dict[str, torch.Tensor] | None
    record: list[SaddleStep]

    @staticmethod
    def start(K: int) -> _State:
        return _State(0, np.full(K + 1, -math.log(K + 1)), np.zeros(K + 1), None, None, [])

    def save(
        self, journal: Journal, key: str, parameters: dict[str, torch.nn.Parameter],
        optimizer: torch.optim.Optimizer | None,
    ) -> None:  # fmt: skip
        """optimizer: None of the last step, after which nothing moves any more."""
        tensors = {f"parameter/{name}": value.detach().clone() for name, value in parameters.items()}
        if optimizer is not None:
            tensors |= {f"gradient/{name}": value for name, value in (self.gradient or {}).items()}
            for number, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{number}/{name}": torch.as_tensor(v).clone() for name, v in moments.items()}
        losses = np.zeros(0) if self.losses is None else self.losses
        tensors["players"] = torch.from_numpy(np.concatenate([self.log_adversary, self.adversary_sum, losses]))
        journal.write(key, tensors, {"step": self.step, "record": [asdict(row) for row in self.record]})

    @staticmethod
    def restore(found: Any, parameters: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> _State:
        tensors, notes = found
        gradient: dict[str, torch.Tensor] = {}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        with torch.no_grad():
            for name, value in tensors.items():
                kind, _, rest = name.partition("/")
                if kind == "parameter":
                    parameters[rest].copy_(value)
                elif kind == "gradient":
                    gradient[rest] = value
                elif kind == "optimizer":
                    number, moment = rest.split("/")
                    moments.setdefault(int(number), {})[moment] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        players = tensors["players"].numpy().reshape(3, -1)
        return _State(notes["step"], players[0], players[1], players[2], gradient, _steps(notes["record"]))


def _steps(rows: Sequence[Mapping[str, Any]]) -> list[SaddleStep]:
    """The record of a checkpoint: JSON has no tuples."""
    return [
        SaddleStep(**{**row, "regret": tuple(row["regret"]), "adversary": tuple(row["adversary"])}) for row in rows
    ]  # fmt: skip
