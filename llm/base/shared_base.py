"""One frozen causal LM with a LoRA adapter a group; the reference is the base with its adapters switched off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError

from llm.base.asked_rows import AskedRows, laid_out
from llm.base.float32_arithmetic import SHORT, float32_arithmetic
from llm.base.journal import Journal
from llm.base.lanes import Lane, Lanes, lanes_hold
from llm.base.linear_layers import AdaptedLayers, layers_to_adapt
from llm.base.lora_settings import LoraSettings, measure_lengths
from llm.base.model_folder import wrapping
from llm.base.processes import processes
from llm.base.progress import Progress
from llm.base.sequences import ResponseScorer, distinct_rows, eval_tokens_for, score_rows
from llm.base.shared_prompts import SHARED_TOKENS
from llm.base.tensor_files import Damaged, computed_in, fingerprint, read_tensors, write_tensors
from llm.base.tokens import TokenStore, embeddings_of
from sim.errors import InputError
from sim.preferences import AnyArray, FloatArray, IntArray
from sim.streams import Stream

# Rows of the reference pass that are lost if it is killed.
_CHUNK = 8192
_REFERENCE = "reference"

# In which numbers scores without gradients are computed: as the base has its weights, or float32.
Scoring: TypeAlias = Literal["same", "float32"]


class SharedBase:
    """The frozen model, its adapters by name, and the reference's log-probabilities, computed once.

    The reference is pi_SFT in every round of EM: the base without adapters, never an earlier policy.
    """

    def __init__(
        self,
        model: Any,
        store: TokenStore,
        *,
        pad: int,
        end: int,
        lora: LoraSettings | None = None,
        identity: str = "",
        eval_tokens: int | None = None,
        probe: bool = True,
        ends: tuple[int, ...] = (),
        scoring: Scoring = "same",
    ) -> None:
        """model: a transformers causal LM, taken over and frozen.  identity: hash of its weights.
        pad, end: token numbers.  ends: all that end a sampled response (see `end_tokens`).  eval_tokens: padded tokens
        in one batch without gradients (default: see `eval_tokens_for`).
        probe: see ResponseScorer.  scoring: see `scoring_as`."""
        self._threads = torch.get_num_threads()
        embeddings = embeddings_of(model)
        if embeddings is not None:
            store.embed(embeddings, str(getattr(model, "name_or_path", "")))
            # Padding is never seen, so any token will do: some tokenizers were given a pad that the model was not.
            pad = pad if pad < embeddings else 0
        self.store, self.pad, self.end, self.identity, self.probe = store, pad, end, identity, probe
        self.scoring = scoring
        self.ends = tuple(dict.fromkeys((end, *ends)))
        self.lora = lora or LoraSettings()
        self.model: Any = model.eval()
        self.eval_tokens = eval_tokens or eval_tokens_for(self.device.type)
        self.model.requires_grad_(False)
        self._wrapped: Any = None
        self._adapted: AdaptedLayers | None = None
        self.scorer = ResponseScorer(model, probe=probe)
        self._lanes_hold: bool | None = None
        self._reference: dict[tuple[int, int], float] = {}
        self._of_sets: dict[str, FloatArray] = {}

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def computed_in(self) -> dict[str, str]:
        """What numbers depend on beside the weights: dtype and device of the base, and the dtype of its scores."""
        own = computed_in(self.model)
        return {**own, "scoring": "float32" if self.scoring == "float32" else own["dtype"]}

    @property
    def batching(self) -> tuple[Any, ...]:
        """What decides which rows share a batch without gradients; in a shorter format than float32 scores depend on
        it."""
        return self.eval_tokens, self.scorer.shares, SHARED_TOKENS

    @property
    def quantised(self) -> bool:
        """Whether the base's linear layers are packed."""
        return bool(getattr(self.model, "is_loaded_in_4bit", False))

    @property
    def rounded(self) -> bool:
        """Whether the base computes in a shorter format than float32."""
        return next(self.model.parameters()).dtype in SHORT

    @property
    def adapters(self) -> tuple[str, ...]:
        return () if self._wrapped is None else tuple(self._wrapped.peft_config)

    @property
    def peft(self) -> Any:
        """The PeftModel around the base; adapters must have been added."""
        if self._wrapped is None:
            raise ValueError("this base has no adapter yet; call add_adapter first")
        return self._wrapped

    @property
    def adapted_layers(self) -> AdaptedLayers:
        """The layers that `add_adapter` gives an adapter, and its parameters; InputError where there are none."""
        if self._adapted is None:
            self._adapted = layers_to_adapt(self.lora.layers, self.lora.rank, self.model, dora=self.lora.dora)
        return self._adapted

    def add_adapter(self, name: str, stream: Stream) -> None:
        """A new adapter that starts as the reference: B = 0, A drawn from `stream`."""
        from peft import get_peft_model

        wanted = self.adapted_layers
        config = self.lora.peft_config(wanted)
        with torch.random.fork_rng(devices=[]), wrapping():
            torch.manual_seed(stream.integer_seed())
            if self._wrapped is None:
                self._wrapped = get_peft_model(self.model, config, adapter_name=name)
            else:
                self._wrapped.add_adapter(name, config)
        if self.lora.dora:
            measure_lengths(self.model, name)
        # What is new begins in training mode, dropout on.
        self._wrapped.eval()
        # The drawing above runs on the CPU's generator whatever the device, so a start is the same everywhere.
        self._wrapped.to(self.device)
        # Ours is a promise about what is trained; PEFT has rules of its own for some architectures.
        got = sum(value.numel() for value in self.parameters_of(name).values())
        if got != wanted.parameters:
            raise InputError(
                f"PEFT put {got:,} parameters on it, not the {wanted.parameters:,} of {', '.join(wanted.names)}",
                field="lora.layers", fix="name other linear layers",
            )  # fmt: skip

    def load_adapter(self, name: str, folder: str | Path) -> None:
        """Load a PEFT folder (safetensors only) as adapter `name`."""
        from peft import PeftModel

        folder = Path(folder)
        if not (folder / "adapter_model.safetensors").is_file():
            raise InputError("holds no adapter_model.safetensors", file=folder, fix="give a folder written by training")
        options = {"adapter_name": name, "is_trainable": False, "use_safetensors": True}
        try:
            with wrapping():
                if self._wrapped is None:
                    self._wrapped = PeftModel.from_pretrained(self.model, str(folder), **options)
                else:
                    self._wrapped.load_adapter(str(folder), **options)
                self._wrapped.eval()
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, OSError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"is damaged or does not fit this base ({reason})", file=folder, fix="load its own base"
            ) from error

    def parameters_of(self, name: str) -> dict[str, torch.nn.Parameter]:
        """The adapter's parameters under names without the adapter's own."""
        mark = f".{name}."
        return {key.replace(mark, "."): value for key, value in self.peft.named_parameters() if mark in key}

    @contextmanager
    def using(self, name: str | None) -> Iterator[Any]:
        """The model with adapter `name` alone, or as the reference (None)."""
        # Compiled kernels of `sim` share OpenMP with torch and leave it with threads of their own number; two threads
        # that wait for each other on a busy core made every operation twenty times as slow.
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        if self._wrapped is None:
            if name is not None:
                raise ValueError(f"no adapter '{name}'")
            yield self.model
        elif name is None:
            with self._wrapped.disable_adapter():
                yield self.model
        else:
            self._wrapped.set_adapter(name)
            yield self.model

    @contextmanager
    def scoring_as(self, name: str | None) -> Iterator[Any]:
        """`using`, in the numbers of scores: a bfloat16 base computes in float32 here where `scoring` says so."""
        with self.using(name) as model:
            if self.scoring == "same":
                yield model
            else:
                with float32_arithmetic(model):
                    yield model

    def score(self, name: str | None, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """log pi(response | context) under adapter `name`, or the reference (None); (n,) float64.

        Batches are decided by the set of rows alone: an adapter that is zero scores it bit by bit as the reference.
        """
        with self.scoring_as(name):
            found = self._scores(contexts, responses)
        if name is None:
            self._require_finite(found)
        return found

    def _scores(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """Of the model as it is: with the adapter, and in the numbers, that are in use."""
        found = score_rows(self.scorer, self.store, contexts, responses, self.pad, self.eval_tokens, self.device)
        return np.asarray(found[:, 0])

    def _require_finite(self, scores: FloatArray) -> None:
        """InputError where the base itself, no adapter of ours, gives numbers that nothing can be made of."""
        wrong = int((~np.isfinite(scores)).sum())
        if wrong:
            raise InputError(
                f"gives {wrong} of {len(scores)} responses log-probabilities that are not finite",
                file=self.model.name_or_path or None, fix="try dtype=float32, or look at its weights",
            )  # fmt: skip

    def score_in_lanes(self, names: Sequence[str | None], contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """`score` under each of these adapters, or the reference, all of them in one forward pass a batch, which has
        `eval_tokens` all told; (n, len(names)) float64."""
        lanes = Lanes(self.peft)
        with self.scoring_as(next(name for name in names if name is not None)):
            return score_rows(
                self.scorer, self.store, contexts, responses, self.pad, self.eval_tokens, self.device, len(names),
                lambda sequences: lanes.of([Lane(name, sequences) for name in names]),
            )  # fmt: skip

    @property
    def takes_lanes(self) -> bool:
        """Whether several adapters may go through this base in one pass; a probe decides, adapters must be there."""
        if self._lanes_hold is None:
            # Products of a 4-bit base are rounded: a probe of it would decide by chance.
            self._lanes_hold = not self.probe or self.quantised or lanes_hold(self.model, self.scorer)
        return self._lanes_hold and all(Lanes(self.peft).take(name) for name in self.adapters)

    def log_probability(self, asked: AskedRows) -> torch.Tensor:
        """log pi(response | context) under what is in use, in the numbers of training and differentiable; (n,)."""
        return laid_out(self.store, [asked], self.pad, self.device).scores(self.scorer)[0]

    def reference(
        self, contexts: AnyArray, responses: AnyArray, journal: Journal | None = None, keep_from: int = 0
    ) -> FloatArray:
        """log pi_ref(response | context), each row computed once in the life of this object; (n,) float64.

        It is what training subtracts, so it is computed in the numbers of training whatever `scoring` says: what
        bfloat16 does to the score of a policy near the reference it does to the reference, too.  A row's score depends
        on the batch it happened to be in; see `reference_beside` for what is subtracted from scores.  journal: where
        sets of `keep_from` missing rows or more are kept.
        """
        rows = list(zip(contexts.tolist(), responses.tolist(), strict=True))
        missing = sorted({row for row in rows if row not in self._reference})
        if missing:
            wanted = np.array(missing, dtype=np.int64)
            self.remember_reference(wanted[:, 0], wanted[:, 1], self._kept_reference(wanted, journal, keep_from))
        return np.array([self._reference[row] for row in rows])

    def _kept_reference(self, rows: IntArray, journal: Journal | None, keep_from: int) -> FloatArray:
        """Scores (n,) of rows (n, 2) in the numbers of training."""
        own = journal if journal is not None and len(rows) >= keep_from else Journal(None)
        digest = self.store.digest(rows[:, 0], rows[:, 1])
        piece = "alone-" + fingerprint(self.identity, self.computed_in, *self.batching, digest)
        kept = own.read(piece)
        if kept is not None:
            return np.asarray(kept[0]["scores"].numpy())
        with self.using(None):
            scores = self._scores(rows[:, 0], rows[:, 1])
        self._require_finite(scores)
        own.write(piece, {"scores": torch.from_numpy(scores)})
        return scores

    def knows_reference(self, contexts: IntArray, responses: IntArray) -> bool:
        """Whether `reference` has computed all of these rows."""
        return all(row in self._reference for row in zip(contexts.tolist(), responses.tolist(), strict=True))

    def reference_beside(
        self, contexts: AnyArray, responses: AnyArray, journal: Journal | None = None, keep_from: int = 0
    ) -> FloatArray:
        """log pi_ref of these rows to be subtracted from a policy's scores of the same rows; (n,) float64.

        Of a base in a shorter format than float32: from the same batches in the numbers of `scoring`, so that what
        rounding does to both alike cancels; one pass a set of rows, kept in this object.  Of a float32 base the scores
        of `reference`: batches move them by 1e-5 nats.  Sets of `keep_from` rows or more are kept in the journal, too.
        """
        if not self.rounded:
            return self.reference(contexts, responses, journal, keep_from)
        rows, place = distinct_rows(self.store, contexts, responses)
        digest = self.store.digest(rows[:, 0], rows[:, 1])
        piece = "beside-" + fingerprint(self.identity, self.computed_in, *self.batching, digest)
        if piece not in self._of_sets:
            own = journal if journal is not None and len(rows) >= keep_from else Journal(None)
            kept = own.read(piece)
            scores = kept[0]["scores"].numpy() if kept else self.score(None, rows[:, 0], rows[:, 1])
            if kept is None:
                own.write(piece, {"scores": torch.from_numpy(scores)})
            self._of_sets[piece] = scores
        return np.asarray(self._of_sets[piece][place])

    def prepare_reference(
        self, path: str | Path, hashes: dict[str, str], contexts: IntArray, responses: IntArray, journal: Journal,
        progress: Progress = lambda text: None,
    ) -> bool:  # fmt: skip
        """Reference scores of these rows from the file `path`, or computed and written there; True if read.

        hashes: what the numbers depend on (base, tokenizer, data, dtype, device); the file is refused if one differs,
        and computed again if it is damaged.
        """
        target = Path(path)
        stored = processes().array_from_first(lambda: _read_reference(target, hashes, len(contexts), progress))
        if stored is not None:
            self.remember_reference(contexts, responses, stored)
            return True
        scores = np.empty(len(contexts))
        for lo in range(0, len(contexts), _CHUNK):
            part = slice(lo, lo + _CHUNK)
            key = "reference-" + fingerprint(hashes, lo, self.store.digest(contexts[part], responses[part]))
            kept = journal.read(key)
            scores[part] = kept[0]["scores"].numpy() if kept else self.reference(contexts[part], responses[part])
            if kept is None:
                journal.write(key, {"scores": torch.from_numpy(scores[part])})
        self.remember_reference(contexts, responses, scores)
        if processes().is_first:
            write_tensors(target, {"log_probability": torch.from_numpy(scores)}, {"hashes": hashes}, _REFERENCE)
        return False

    def remember_reference(self, contexts: IntArray, responses: IntArray, scores: FloatArray) -> None:
        """Take these as what `reference` gives of these rows."""
        rows = zip(contexts.tolist(), responses.tolist(), strict=True)
        self._reference.update(zip(rows, scores.tolist(), strict=True))


def _read_reference(path: Path, hashes: dict[str, str], n: int, progress: Progress) -> FloatArray | None:
    """The n scores in a cache; None where there is none, or none to be believed. Another run's is refused."""
    if not path.is_file():
        return None
    try:
        tensors, notes = read_tensors(path, _REFERENCE)
        scores, found = tensors["log_probability"].double().numpy(), notes["hashes"]
    except (Damaged, KeyError) as error:
        progress(f"note: {path} was damaged ({error}) and is computed again")
        return None
    for name, value in hashes.items():
        if found.get(name) != value:
            raise InputError(
                f"was computed with another {name} ({found.get(name)}, now {value})", file=path,
                fix="delete it, or choose another --out",
            )  # fmt: skip
    assert len(scores) == n, "the data's hash is that of the rows"
    return np.asarray(scores)
