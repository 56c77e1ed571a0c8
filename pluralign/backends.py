"""The policy classes a study may name: the one room that sees both `sim` and `llm`."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Any

from sim.studies.experiment import Backend, PolicyRequest
from sim.studies.experiments.bandit.experiment import LOG_LINEAR


def _mlp(request: PolicyRequest) -> Any:
    from llm.networks.mlp import LITERAL, MLPPolicy, MLPTraining

    training = (
        MLPTraining(normalised=False, l2=LITERAL.l2, epochs=request.epochs, keep_best=False)
        if request.literal
        else MLPTraining(l2=request.ridge, epochs=request.epochs)
    )
    return MLPPolicy(request.dimension, request.n_actions, beta=request.beta, training=training, stream=request.stream)


def backends() -> dict[str, Backend]:
    """log_linear, and mlp where torch is installed and the import name `llm` is ours."""
    found = {"log_linear": LOG_LINEAR}
    if util.find_spec("torch") is not None:
        from pluralign.ownership import require_own_llm

        require_own_llm()
        here = Path(__file__).resolve()
        found["mlp"] = Backend(_mlp, random_start=True, sources=(here, here.parents[1] / "llm"), packages=("torch",))
    return found
