"""What goes through a base model: every row of tokens, under which adapter, and how much of it is padding."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from llm.base import generation  # noqa: E402
from llm.base.shared_base import SharedBase  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402


class ForwardPasses:
    """rows: (adapter, how often its parameters had changed, tokens of the row) -> times it was scored; reference: None
    as adapter.  tokens, padded: of all these passes.  Neither training nor sampling is counted."""

    def __init__(self, monkeypatch):
        self.rows, self.tokens, self.padded = Counter(), 0, 0
        self._name, self._sampling, self._seen, self._changes = None, False, set(), Counter()
        using, changed, generate = SharedBase.using, AdapterPolicy.changed, generation._generate

        @contextmanager
        def watched(base, name):
            before, self._name = self._name, name
            with using(base, name) as model:
                self._watch(base)
                yield model
            self._name = before

        def sampled(*arguments):
            self._sampling = True
            drawn = generate(*arguments)
            self._sampling = False
            return drawn

        def counted(policy):
            self._changes[policy.name] += 1
            changed(policy)

        monkeypatch.setattr(SharedBase, "using", watched)
        monkeypatch.setattr(AdapterPolicy, "changed", counted)
        monkeypatch.setattr(generation, "_generate", sampled)

    def _watch(self, base):
        if id(base) in self._seen:
            return
        self._seen.add(id(base))

        def seen(module, args, kwargs):
            if self._sampling or not torch.is_inference_mode_enabled():
                return
            given, positions = kwargs["input_ids"], kwargs.get("position_ids")
            self.padded += given.numel()
            for number, ids in enumerate(given.tolist()):
                while ids[-1] == base.pad:
                    ids.pop()
                self.tokens += len(ids)
                for row in [ids] if positions is None else _apart(ids, positions[number].tolist()):
                    self.rows[self._name, self._changes[self._name], tuple(row)] += 1

        base.model.get_decoder().register_forward_pre_hook(seen, with_kwargs=True)


def _apart(ids, positions):
    """The rows of a sequence of several responses: positions go back to the prompt's end where each begins."""
    begins = [j for j in range(1, len(ids)) if positions[j] <= positions[j - 1]]
    prompt = positions[begins[0]] if begins else len(ids)
    edges = [prompt, *begins, len(ids)]
    return [ids[:prompt] + ids[lo:hi] for lo, hi in pairwise(edges)] if begins else [ids]
