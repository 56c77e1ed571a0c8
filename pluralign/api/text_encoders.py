"""Which language model makes features of texts, found by what `features` says and opened when texts are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.fitting.saved import SavedFit
from sim.fitting.text_features.encoded import TextEncoder
from sim.fitting.text_features.saved_text import AbsentEncoder
from sim.install import install_line
from sim.preferences import FloatArray

_OWN = ("columns", "words")


def encoder_of(features: str) -> TextEncoder | None:
    """embedding: the sentence model that a package carries; a folder: hidden states of the model there; None where no
    model is needed.

    Errors: InputError where a package, or the folder, is missing.
    """
    if features in _OWN:
        return None
    if features != "embedding" and not Path(features).exists():
        raise InputError(
            f"features: there is neither a kind nor a folder called '{features}'",
            fix="give columns, words, embedding, or the folder of a causal language model",
        )
    return _opened("embedding" if features == "embedding" else "hidden", features)


def _opened(kind: str, place: str, identity: Mapping[str, Any] | None = None) -> TextEncoder:
    """identity: of a reward's encoder, what it is made with."""
    from pluralign.ownership import require_own_llm

    require_own_llm()
    try:
        if kind == "reward":
            from llm.rewards.reward_encoder import encoder_like

            return encoder_like(place, identity or {})
        from llm.base.text_encoders import HiddenStateEncoder, SentenceEncoder
    except ImportError as error:
        line = install_line("embeddings" if kind == "embedding" else "llm")
        raise InputError(f"features: {kind} needs {error.name}", fix=line) from error
    return SentenceEncoder() if kind == "embedding" else HiddenStateEncoder(place)


class LaterEncoder:
    """A saved fit's encoder: opened with the first text, and refused where it is not the one of the fit."""

    def __init__(self, absent: AbsentEncoder) -> None:
        self.kind, self.place, self.identity = absent.kind, absent.place, absent.identity
        self._open: TextEncoder | None = None

    def encode(self, texts: Sequence[str]) -> FloatArray:
        if self._open is None:
            self._open = opened_unchanged(self.kind, self.place, self.identity)
        return self._open.encode(texts)


def opened_unchanged(kind: str, place: str, identity: Mapping[str, Any]) -> TextEncoder:
    """The encoder that lies at the place; InputError where it is not the one a fit was made with."""
    found = _opened(kind, place, identity)
    if dict(found.identity) != dict(identity):
        mine, own = dict(identity), dict(found.identity)
        other = ", ".join(sorted(name for name in {*mine, *own} if mine.get(name) != own.get(name)))
        raise InputError(
            f"features: the language model is not the one that this fit was made with (other {other})", file=place,
            fix="put it back, or fit again",
        )  # fmt: skip
    return found


def with_encoder(fit: SavedFit) -> SavedFit:
    """The fit with its language model, where it has one."""
    if fit.text is None or fit.text.absent is None:
        return fit
    return replace(fit, text=fit.text.with_encoder(LaterEncoder(fit.text.absent)))
