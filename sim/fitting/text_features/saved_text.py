"""The way from texts to a fit's features, as a result folder keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.errors import InputError
from sim.files.atomic import Json
from sim.files.pair_table import ItemKind
from sim.fitting.text_features.encoded import EncodedFeatures, TextEncoder
from sim.fitting.text_features.learn import TextFeatures
from sim.fitting.text_features.texts import response_texts
from sim.fitting.text_features.words import WordFeatures
from sim.preferences import AnyArray, FloatArray

_HERE = "text/"


@dataclass(frozen=True)
class AbsentEncoder:
    """What is known of an encoder that nobody has opened."""

    kind: str
    place: str
    identity: Mapping[str, Json]

    def encode(self, texts: Sequence[str]) -> FloatArray:
        raise InputError(
            "features: this fit was read without its language model", file=self.place,
            fix="read it by pluralign.load_fit",
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class TextPart:
    """made: what makes features of texts; kind: whether items are texts or conversations."""

    made: TextFeatures
    kind: ItemKind

    @property
    def absent(self) -> AbsentEncoder | None:
        """The encoder that is yet to be opened."""
        if isinstance(self.made, EncodedFeatures) and isinstance(self.made.encoder, AbsentEncoder):
            return self.made.encoder
        return None

    def with_encoder(self, encoder: TextEncoder) -> TextPart:
        assert isinstance(self.made, EncodedFeatures)
        return replace(self, made=replace(self.made, encoder=encoder))

    def of(self, labels: Sequence[str]) -> FloatArray:
        """(n, d) of items by their texts."""
        return self.made.of(response_texts(labels, self.kind))

    def arrays(self) -> dict[str, AnyArray]:
        """Under names that begin with `text/`."""
        head: dict[str, Json] = {"items": self.kind}
        if isinstance(self.made, EncodedFeatures):
            encoder = self.made.encoder
            head |= {"kind": encoder.kind, "place": encoder.place, "identity": dict(encoder.identity)}
        found = {"head": np.array(json.dumps(head, sort_keys=True)), **self.made.arrays()}
        return {_HERE + name: values for name, values in found.items()}


def has_heads(part: TextPart | None) -> bool:
    """Whether items are responses to their prompts, and rewards of them heads on a language model."""
    return part is not None and part.kind == "answered" and isinstance(part.made, EncodedFeatures)


def read_text_part(arrays: Mapping[str, AnyArray]) -> TextPart | None:
    """The part of a folder's arrays that `TextPart.arrays` wrote, None where there is none.

    Raises KeyError where it is not whole.
    """
    own = {name.removeprefix(_HERE): values for name, values in arrays.items() if name.startswith(_HERE)}
    if not own:
        return None
    head = json.loads(str(own["head"]))
    if "identity" not in head:
        return TextPart(WordFeatures.from_arrays(own), head["items"])
    encoder = AbsentEncoder(head["kind"], head["place"], head["identity"])
    return TextPart(EncodedFeatures(encoder, own["mean"], own["directions"]), head["items"])
