"""Variational preference learning with its encoder (Poddar et al. 2024, arXiv 2408.10075); a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

from sim.estimators.latent_encoder import Encoder, fit_latent_encoder
from sim.estimators.variational_latent import latent_evidence, latent_posterior
from sim.fitting.method import Diagnosis, Fits, Say, Task
from sim.fitting.methods.vpl import VPL
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.settings import FitSettings
from sim.preferences import FloatArray
from sim.streams import Stream

# Of L-BFGS while sizes and ridges are searched, and of the last fit; of the best Gaussians it is held against.
_SEARCHED, _FINAL, _BEST = 100, 300, 100
_PARTS = ("pairs", "mean", "spread")


@dataclass(frozen=True, eq=False)
class EncodedModel(RewardModel):
    """encoder: what makes latents of answers."""

    encoder: Encoder = field(kw_only=True)

    def latents(self, answers: Answers) -> tuple[FloatArray, FloatArray]:
        """(means, variances) of these answers' annotators; (n_annotators, k)."""
        chosen, rejected = answers.features[answers.chosen], answers.features[answers.rejected]
        return self.encoder.posterior(chosen, rejected, answers.annotator, answers.n_annotators, answers.weights)


class VPLEncoder(VPL):
    """`vpl`, its latents not each annotator's best but what one network makes of her answers, new people's too."""

    name = "vpl-encoder"
    title = "VPL, an encoder"

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> EncodedModel:
        assert task.centre is not None
        found = fit_latent_encoder(
            answers.features[answers.chosen], answers.features[answers.rejected], answers.annotator,
            answers.n_annotators, size, task.stream.child("vpl-encoder"), weights=answers.weights,
            offset=answers.differences @ task.centre, ridge=ridge,
            max_rounds=_FINAL if task.final else _SEARCHED,
        )  # fmt: skip
        centre = task.centre + found.common
        return EncodedModel(
            centre, centre + found.mean @ found.map.T, size, ridge, subspace=found.map, encoder=found.encoder
        )

    def adapt(self, model: RewardModel, answers: Answers) -> RewardModel:
        """What the encoder makes of these answers."""
        assert isinstance(model, EncodedModel)
        assert model.subspace is not None
        return replace(model, theta=model.centre + model.latents(answers)[0] @ model.subspace.T)

    def parameters(self, model: RewardModel) -> Mapping[str, FloatArray | None]:
        assert isinstance(model, EncodedModel)
        own = {f"encoder_{name}": getattr(model.encoder, name) for name in _PARTS}
        return {**super().parameters(model), **own}

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> EncodedModel:
        linear = super().restore(parameters)
        pairs, mean, spread = (parameters[f"encoder_{name}"] for name in _PARTS)
        assert pairs is not None
        assert mean is not None
        assert spread is not None
        kept = {own.name: getattr(linear, own.name) for own in fields(linear)}
        return EncodedModel(**kept, encoder=Encoder(pairs, mean, spread))

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """amortisation: the lower bound of the training answers with the encoder's Gaussians, and with the best ones at
        the same decoder, which is never less; nats an annotator."""
        found, model = super().diagnostics(fits, prepared, settings, stream, say), fits.model
        answers = prepared.answers(prepared.train)
        people, v, nothing = answers.n_annotators, answers.weights, np.zeros(len(model.centre))
        x, number, offset = answers.differences, answers.annotator, answers.margins(model.centre)

        def evidence(mean: FloatArray, covariance: FloatArray) -> float:
            own = latent_evidence(
                nothing, model.subspace, mean, covariance, x, number, people, weights=v, offset=offset
            )  # fmt: skip
            return float(own.sum()) / len(prepared.trained)

        mean, variance = model.latents(answers)
        best = latent_posterior(nothing, model.subspace, x, number, people, weights=v, offset=offset, rounds=_BEST)
        told = {"encoder": evidence(mean, variance[:, :, None] * np.eye(model.size)), "best": evidence(*best)}
        return Diagnosis({**found.parts, "amortisation": told}, found.warnings)
