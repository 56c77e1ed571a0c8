"""What the methods of unobserved types share: scores, adaptation and report of a mixture of log-linear rewards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sim.fitting.diagnostics.types import describe_types, diagnose_types
from sim.fitting.method import Diagnosis, Fits, Group, Method, Say
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.settings import FitSettings
from sim.fitting.type_model import TypeModel
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream


class TypeMethod(Method[TypeModel]):
    """Scores, adaptation and report of every method whose model is a mixture of types."""

    takes_choices = True
    knows_errors = True
    beside = ("dpo", "em-dpo", "cluster-dpo", "dpo-equal-weights")
    sizes_shared = True
    size_name = "n_types"
    counts = "types"
    per_annotator = ("responsibilities",)

    def log_likelihood(self, model: TypeModel, answers: Answers) -> FloatArray:
        """log sum_k gamma_ik sigma(<theta_k, d_j>), nats."""
        return model.log_likelihood_of(answers)

    def adapt(self, model: TypeModel, answers: Answers) -> TypeModel:
        """The posterior over types given these answers alone; the mixture where there is none."""
        return model.given(answers)

    def new_annotator_streams(self, score: Stream) -> tuple[Stream, Stream]:
        own = score.child("few-shot")
        return own, own

    def compared_on_new(self, fits: Fits) -> tuple[str, ...]:
        """The method asked for, and the common policy its gain is over."""
        return tuple(dict.fromkeys((fits.common, self.name)))

    def describe(self, model: TypeModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        weights = self.weights(prepared.answers(prepared.train))
        return describe_types(model, centre, prepared, stream, weights)

    def departures(self, model: TypeModel, centre: FloatArray) -> FloatArray | None:
        return model.theta - centre

    def parameters(self, model: TypeModel) -> Mapping[str, FloatArray | None]:
        return {
            "theta": model.theta,
            "mixture": model.mixture,
            "responsibilities": model.responsibilities,
            "log_likelihood": np.array(model.log_likelihood),
            "ridge": np.array(model.ridge),
            "largest_margin": np.array(model.largest_margin),
            "restart_penalised": model.restart_penalised,
        }

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> TypeModel:
        kept = {name: values for name, values in parameters.items() if values is not None}
        return TypeModel(
            theta=kept["theta"],
            mixture=kept["mixture"],
            responsibilities=kept["responsibilities"],
            log_likelihood=float(kept["log_likelihood"]),
            ridge=float(kept["ridge"]),
            largest_margin=float(kept["largest_margin"]),
            restart_penalised=kept["restart_penalised"],
        )

    def shares(self, model: TypeModel) -> FloatArray:
        return model.mixture

    def by_group(self, model: TypeModel) -> TypeModel | None:
        return replace(model, responsibilities=np.eye(model.n_types))

    def table(self, model: TypeModel) -> Mapping[str, AnyArray]:
        return {f"group_{k + 1}": model.responsibilities[:, k] for k in range(model.n_types)}

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """What each type loses under one policy for all, how sure the fit is, and what is wrong with the answers."""
        return diagnose_types(fits, prepared, settings)
