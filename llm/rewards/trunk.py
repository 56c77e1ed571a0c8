"""The trunk of a reward model trained with its heads: a LoRA adapter under theta_i = centre + U v_i.

[arXiv 2405.00254, Algorithm 1, step 1, for a general representation]

    min   -sum_i sum_j w_j log p(answer j; <centre + U v_i, psi(x, y)>) + ridge / 2 sum_i |U v_i|^2
    over psi, centre, U, v

psi is the model's last hidden state at the last token. It begins as the model is, with heads that suit it. What is
trained is kept as an adapter's folder, which is a model like any other: heads are then fitted on it exactly.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llm.base.device import pick_device
from llm.base.embeddings import hidden_state_embeddings
from llm.base.folder_format import checksums, read_stamped, require_unchanged, stamped
from llm.base.journal import Journal, fingerprint
from llm.base.lora_settings import LoraSettings
from llm.base.model_folder import longest_input
from llm.base.progress import Progress
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import load_base
from llm.base.tokens import TokenStore
from llm.rewards.reward_encoder import RewardEncoder
from llm.rewards.trunk_objective import Heads, TrunkObjective, TrunkStart
from llm.runs.run_folder import save_adapter
from llm.training.batches import CUT
from llm.training.passes import DPOTraining, make_passes
from sim.answer_kinds.response_choices import ResponseChoices
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.files.locks import held
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

TRUNK = "trunk.json"
_ADAPTER = "trunk"
_FIX = "delete the folder, or name another one"
# Heads are few numbers in units of their own, and want larger steps than an adapter.
_HEADS_TIMES = 10.0


@dataclass(frozen=True)
class TrunkSettings:
    """How the trunk is trained.

    rank, alpha, layers: of its adapter, see `LoraSettings`.  heads: dimension k of the rewards' common subspace.
    epochs: passes over the training answers; the adapter is kept as it was after the one that served held-out training
    answers best.  rate: of AdamW, falling linearly to zero, ten times as large for the heads.  batch: prompts a step.
    """

    rank: int = 8
    alpha: float = 16.0
    layers: str = "all-linear"
    heads: int = 8
    epochs: int = 4
    rate: float = 1e-4
    batch: int = 4

    def __post_init__(self) -> None:
        LoraSettings(self.rank, self.alpha, self.layers)
        for name in ("heads", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"trunk_{name}: expected a whole number, at least 1, got {getattr(self, name)}")
        if not 0 < self.rate < 1:
            raise InputError(f"trunk_rate: expected a number between 0 and 1, got {self.rate:g}")


@dataclass(frozen=True)
class TrunkReport:
    """held_out: mean nats a held-out training answer, of the model as it is and after each pass.  passes: how many of
    them are in the adapter."""

    folder: str
    held_out: tuple[float, ...]
    passes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def train_trunk(
    place: str | Path,
    texts: Sequence[str],
    encoder: RewardEncoder,
    start: TrunkStart,
    settings: TrunkSettings,
    folder: str | Path,
    stream: Stream,
    progress: Progress = lambda text: None,
) -> TrunkReport:
    """Train the trunk and keep it in `folder`; a finished one of the same answers is taken, an interrupted one goes on.

    place: the model, with its weights in its own folder.  texts: labels of the items that answers are about.
    Errors: InputError where the folder holds something else, or is in use.
    """
    target = Path(folder)
    origin = fingerprint(
        dict(encoder.identity), asdict(settings), list(texts), asdict(stream), start.decay, start.ridge,
        start.directions.shape, start.shared.shape, _choices(start.train), _choices(start.held),
    )  # fmt: skip
    if (found := _finished(target, origin, progress)) is not None:
        return found
    with held(target):
        return _finished(target, origin, progress) or _train(
            place, texts, encoder, start, settings, target, stream, progress, origin
        )


def _train(
    place: str | Path, texts: Sequence[str], encoder: RewardEncoder, start: TrunkStart, settings: TrunkSettings,
    target: Path, stream: Stream, progress: Progress, origin: str,
) -> TrunkReport:  # fmt: skip
    model, tokenizer = load_base(place, pick_device("auto"), progress=progress, head=False)
    end = tokenizer.eos_token_id
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (end or 0)
    window = min(encoder.window, longest_input(model.config) or encoder.window)
    store = TokenStore()
    rows = encoder.tokens(tokenizer, texts, window)
    contexts, last = store.add_all(row[:-1] for row in rows), store.add_all(row[-1:] for row in rows)
    lora = LoraSettings(settings.rank, settings.alpha, settings.layers)
    base = SharedBase(model, store, pad=pad, end=end or 0, lora=lora, probe=False)
    base.add_adapter(_ADAPTER, stream.child("adapter"))
    heads = Heads(start, base.device)
    groups = [base.parameters_of(_ADAPTER), heads.parameters]
    rewards = _RewardsOf(base, heads, contexts, last, len(start.mean))
    # Thresholds, or the constant of ties, are those that suit the heads of the start.
    train = start.train.refitted(rewards(start.train)[:, None], start.train.pair_weights()[:, None])
    journal, key = Journal(target / "journal", progress), fingerprint(origin, CUT)
    scores, states = [_held_out(rewards, start.held, train)], [_state(groups)]

    def ended(epoch: int) -> None:
        reached = _held_out(rewards, start.held, train)
        progress(f"pass {epoch + 1} of {settings.epochs}: {_told(reached)}")
        scores.append(reached)
        states.append(_state(groups))
        journal.write(f"pass-{key}-{epoch}", states[-1], {"held_out": None if np.isnan(reached) else reached})

    for epoch in range(settings.epochs):
        done = journal.read(f"pass-{key}-{epoch}")
        if done is None:
            break
        states.append(done[0])
        scores.append(float("nan") if done[1]["held_out"] is None else done[1]["held_out"])
    training = DPOTraining(
        rate=settings.rate, epochs=settings.epochs, settled=0.0, batch=settings.batch, schedule="linear"
    )
    if len(states) <= settings.epochs:
        progress(
            f"training the trunk: {base.adapted_layers.parameters:,} parameters of its adapter, {len(train)} answers, "
            f"{_told(scores[0])}"
        )
        # A pass that ended is never made again: what was written of it beforehand is what it would write.
        before = len(states) - 1
        make_passes(
            base, _ADAPTER, groups, TrunkObjective(base, heads, replace(start, train=train), contexts, last), training,
            stream.child("passes"), times=(1.0, _HEADS_TIMES), journal=journal, key=key,
            rate_field="trunk_rate", on_step=_telling(progress),
            on_pass=lambda epoch: None if epoch < before else ended(epoch),
        )  # fmt: skip
    passes = int(np.argmax(scores)) if np.isfinite(scores).all() else settings.epochs
    if not len(start.held):
        progress(f"warning: no training answers could be held out: all {passes} passes are kept, and none was compared")
    elif passes == 0:
        progress("note: no pass helped held-out training answers; the trunk stays as it is")
    kept = states[passes]
    _put(groups, kept)
    save_adapter(base, _ADAPTER, target / "adapter")
    report = TrunkReport(str(target / "adapter"), tuple(scores), passes)
    written = checksums(target, ["adapter"])
    told = {**report.as_json(), "folder": "adapter", "settings": asdict(settings), "origin": origin, "files": written}
    told["held_out"] = [score if np.isfinite(score) else None for score in scores]
    write_json(target / TRUNK, stamped(told))
    shutil.rmtree(target / "journal", ignore_errors=True)
    return report


def _finished(target: Path, origin: str, progress: Progress) -> TrunkReport | None:
    if target.exists() and not target.is_dir():
        raise InputError("is no folder", file=target, fix="name another one")
    try:
        told = read_stamped(target / TRUNK, _FIX)
    except OSError:
        own = ("journal", "adapter")
        if target.is_dir() and any(not child.match(".*") and child.name not in own for child in target.iterdir()):
            raise InputError("holds something else than a trunk", file=target, fix="name another one") from None
        return None
    if told.get("origin") != origin:
        raise InputError("holds the trunk of other answers, settings, another method or model", file=target, fix=_FIX)
    require_unchanged(target, told["files"], _FIX)
    progress(f"the trunk in {target} is finished and is taken as it is")
    scores = tuple(float("nan") if score is None else float(score) for score in told["held_out"])
    return TrunkReport(str(target / "adapter"), scores, int(told["passes"]))


class _RewardsOf:
    """Rewards of annotators for items under the parameters as they are."""

    def __init__(self, base: SharedBase, heads: Heads, contexts: IntArray, last: IntArray, width: int) -> None:
        self._base, self._heads, self._contexts, self._last, self._width = base, heads, contexts, last, width

    def __call__(self, choices: ResponseChoices) -> FloatArray:
        """(S,) of the (annotator, item) that choices are about."""
        items, place = np.unique(choices.responses, return_inverse=True)
        if not len(items):
            return np.zeros(0)
        hidden = hidden_state_embeddings(self._base, self._contexts[items], self._last[items], _ADAPTER)
        with torch.no_grad():
            states = torch.tensor(hidden[place.ravel()], dtype=torch.float32, device=self._base.device)
            return np.asarray(self._heads.rewards(states, choices.contexts).cpu().double().numpy())


def _told(score: float) -> str:
    return f"held-out training answers {score:.4f} nats" if np.isfinite(score) else "no training answer is held out"


def _held_out(rewards: _RewardsOf, held_out: ResponseChoices, train: ResponseChoices) -> float:
    """Mean nats an answer; nan without answers."""
    weights = held_out.pair_weights()
    if not weights.any():
        return float("nan")
    own = held_out.folded(rewards(held_out)[:, None], train.constants)[:, 0]
    return float((weights * own).sum() / weights.sum())


def _state(groups: Sequence[Mapping[str, torch.nn.Parameter]]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for own in groups for name, value in own.items()}


def _put(groups: Sequence[Mapping[str, torch.nn.Parameter]], state: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for own in groups:
            for name, value in own.items():
                value.copy_(state[name])


def _telling(progress: Progress) -> Callable[[int, int], None]:
    def tell(step: int, total: int) -> None:
        if step % max(1, total // 10) == 0:
            progress(f"trunk: step {step} of {total}")

    return tell


# Of the start only what it follows from: the last bits of its heads depend on the processor.
def _choices(own: ResponseChoices) -> dict[str, Any]:
    names = ("contexts", "responses", "first", "second", "scale", "starts", "answer", "weight", "annotator")
    return {**{name: getattr(own, name) for name in names}, "weights": own.pair_weights()}
