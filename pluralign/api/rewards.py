"""Rewards on a frozen language model's hidden states."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pluralign.api.fits import FitResult, names_given
from pluralign.api.frames import Frame, said
from pluralign.api.pairs import read_pairs
from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.text_encoders import opened_unchanged
from pluralign.ownership import importing_llm
from sim.answer_kinds.kinds import AskedLikelihood
from sim.errors import InputError
from sim.fitting import save
from sim.fitting.heeded import require_heeded
from sim.fitting.prepare import VALIDATION
from sim.fitting.report import fit as fit_table
from sim.fitting.settings import AskedHoldOut, FitSettings
from sim.streams import Stream


# Long for its arguments, the options of `pluralign llm reward`.
@plain_numbers
def reward(
    pairs: Frame,
    model: str | Path,
    *,
    method: str = "shared",
    n_types: int | None = None,
    max_types: int = 8,
    ridge: float | None = None,
    restarts: int = 10,
    hold_out: AskedHoldOut = "prompts",
    likelihood: AskedLikelihood = "auto",
    folds: int | None = None,
    chat: bool = False,
    append_end: bool = True,
    window: int = 512,
    trunk: str | Path | None = None,
    trunk_rank: int = 8,
    trunk_heads: int = 8,
    trunk_epochs: int = 4,
    trunk_rate: float = 1e-4,
    beside: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> FitResult:
    """Linear rewards r_i(x, y) = <theta_i, phi(x, y)> on a frozen language model.                [arXiv 2405.00254]

    phi: leading directions of the model's last hidden state at the last token of prompt and response; how many is
    chosen on held-out training answers.  model: a causal language model's folder, or GGUF file.  method: pooled (one
    reward for all), personal (one each), shared (theta_i = U v_i), cluster, low-rank (of annotator_features), em-dpo
    (types); the reward methods stand beside each other.  beside: names of further ones (maxmin-rlhf, pal, pal-distance,
    vpl, vpl-encoder, group-dpo).  hold_out: prompts (rewards are scored on prompts nobody answered in training),
    answers, items or people.  chat, append_end, window: how texts become tokens, see `llm.rewards.reward_encoder`.

    trunk: a folder in which the model is first trained with the heads, as a LoRA adapter of rank `trunk_rank` under
    rewards over a common subspace of `trunk_heads` dimensions (method pooled: one reward), for `trunk_epochs`
    passes from rate `trunk_rate` (`llm.rewards.trunk`); heads are then fitted on that model. A finished trunk of the
    same answers and settings is taken as it is.  The rest as in `fit`.  Errors: InputError.
    """
    with importing_llm("a reward on a language model"):
        from llm.rewards.answered_items import answered
        from llm.rewards.reward_encoder import RewardEncoder
    began = time.monotonic()
    settings = FitSettings(
        method=method, n_types=n_types, max_types=max_types, restarts=restarts, ridge=ridge, hold_out=hold_out,
        likelihood=likelihood, folds=folds, features="reward", beside=names_given(beside), seed=seed,
    )  # fmt: skip
    require_heeded(settings)
    say = said(progress)
    encoder = RewardEncoder(model, chat=chat, append_end=append_end, window=window, progress=say)
    table = answered(read_pairs(pairs), chat)
    extra: dict[str, Any] = {}
    validation = VALIDATION
    if trunk is not None:
        from llm.rewards.trunk import TrunkSettings, train_trunk
        from pluralign.trunk_start import KEPT_OUT, trunk_start

        how = TrunkSettings(rank=trunk_rank, heads=trunk_heads, epochs=trunk_epochs, rate=trunk_rate)
        _require_trunk(model, folds)
        start = trunk_start(table, settings, encoder, 0 if method == "pooled" else trunk_heads, say)
        trained = train_trunk(model, table.items, encoder, start, how, trunk, Stream(seed, "trunk"), say)
        extra["trunk"] = trained.as_json()
        validation = KEPT_OUT
        encoder = RewardEncoder(trained.folder, chat=chat, append_end=append_end, window=window, progress=say)
    report = fit_table(table, settings, say, (), encoder, validation)
    extra |= {"seed": seed, "seconds": round(time.monotonic() - began, 1), "out": None}
    return FitResult(save.usable_fit(report), report, extra)


def _require_trunk(model: str | Path, folds: int | None) -> None:
    if folds is not None:
        raise InputError(
            "folds: people left out of a fit would have trained its trunk", field="trunk", fix="leave out the one or "
            "the other",
        )  # fmt: skip
    place = Path(model)
    if (place / "adapter_config.json").is_file() and not (place / "config.json").is_file():
        raise InputError(
            "is an adapter without its base's weights, on which no other can be put", file=place,
            fix="give its base, or the two merged into one",
        )  # fmt: skip


def export_reward(fit: FitResult, head: str, folder: str | Path, progress: Callable[[str], None] | None = None) -> Path:
    """One head of a reward as a folder that `AutoModelForSequenceClassification` loads.

    head: type_1, type_2, ... of a method with types or clusters, an annotator's name, or stranger; where an annotator
    is called so herself, fit:type_1 or annotator:type_1.
    Errors: InputError where there is no such head, its reward is not linear, the folder exists, or the language model
    is not the one that the fit was made with.
    """
    with importing_llm("a reward on a language model"):
        from llm.rewards.export import export_head
    from sim.fitting.text_features.heads import encoder_of_reward, linear_head

    usable = fit.usable
    own, encoder = linear_head(usable, head), encoder_of_reward(usable)
    # Hidden states are not asked for here, but the head is nothing without the model that it was fitted on.
    encoder = opened_unchanged(encoder.kind, encoder.place, encoder.identity)
    told = {
        "constant": own.constant, "method": usable.method.name, "encoder": dict(encoder.identity),
        "fit": usable.summary.get("model_checksum"),
    }  # fmt: skip
    return export_head(own.name, own.weight, encoder.place, folder, told, said(progress))
