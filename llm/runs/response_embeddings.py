"""Embeddings of a run's responses, each computed once and kept with the run's finished pieces."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

from llm.base.embeddings import hidden_state_embeddings, sentence_embeddings, sentence_folder
from llm.base.identity import folder_hash
from llm.base.journal import Journal, fingerprint
from llm.base.processes import processes
from llm.base.shared_base import SharedBase
from llm.base.texts import response_texts
from llm.data.answer_sets import AnswerSet
from sim.preferences import FloatArray, IntArray


class RunEmbeddings:
    """Of responses to their prompts: "hidden" is the base's own mean final hidden state, else a sentence model, which
    reads the response alone."""

    def __init__(self, base: SharedBase, tokenizer: Any, embedding: str, journal: Journal) -> None:
        self._base, self._tokenizer, self._embedding, self._journal = base, tokenizer, embedding, journal

    @cached_property
    def _model(self) -> str:
        """What makes the sentence model the same one, wherever it lies."""
        return self._embedding if self._embedding == "hidden" else folder_hash(sentence_folder(self._embedding))

    def chosen(self, answers: AnswerSet) -> FloatArray:
        """(n, d)."""
        return self.of(answers.pairs.contexts, answers.pairs.chosen)

    def of(self, contexts: IntArray, responses: IntArray) -> FloatArray:
        """Of responses to contexts, by number; (n, d)."""
        # Annotators share responses: each is read once.
        rows, back = np.unique(np.stack([contexts, responses], axis=1), axis=0, return_inverse=True)
        own = rows[:, 0], rows[:, 1]
        key = "embedding-" + fingerprint(
            self._base.identity, self._base.computed_in, self._model, self._base.store.digest(*own)
        )  # fmt: skip
        kept = self._journal.read(key)
        if kept is not None:
            return np.asarray(kept[0]["embeddings"].numpy())[back]
        found = self._computed(*own)
        self._journal.write(key, {"embeddings": torch.from_numpy(found)})
        return found[back]

    def _computed(self, contexts: IntArray, responses: IntArray) -> FloatArray:
        if self._embedding == "hidden":
            return hidden_state_embeddings(self._base, contexts, responses)
        store = self._base.store
        texts = response_texts(
            self._tokenizer, [store[c] for c in contexts.tolist()], [store[r] for r in responses.tolist()]
        )
        found = processes().array_from_first(
            lambda: sentence_embeddings(texts, self._embedding, str(self._base.device))
        )
        return np.asarray(found)
