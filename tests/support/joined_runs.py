"""What torchrun starts in the tests: training runs of several processes, one after the other, and what each saw.

Called with a FOLDER; FOLDER/jobs.json is a list of [name, settings], and seen-RANK.json is written beside it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch.distributed.tensor import DTensor

from llm.base.joining import together
from llm.base.processes import Processes, processes
from llm.base.sequences import ResponseScorer
from llm.runs import train_run as run
from llm.runs.run_settings import RunSettings
from sim.settings import read_settings
from sim.streams import Stream


class Seen:
    """Of one run: its base, padded tokens and batches scored here without gradients, optimiser steps, files written."""

    def __init__(self):
        self._begin(None)
        open_base, score, add, move = run.open_base, ResponseScorer.__call__, Processes.sum_gradients, os.replace

        def opened(*arguments):
            found = open_base(*arguments)
            self._begin(found[0])
            return found

        def added(*arguments):
            self.steps += 1
            add(*arguments)

        def moved(old, new):
            self.files.append(str(new))
            move(old, new)

        def scored(scorer, batch, *arguments):
            if not torch.is_grad_enabled():
                self.tokens += batch.n_tokens
                self.batches.add((*batch.input_ids.shape, int(batch.input_ids.sum())))
            return score(scorer, batch, *arguments)

        run.open_base, ResponseScorer.__call__, Processes.sum_gradients, os.replace = opened, scored, added, moved

    def _begin(self, base):
        self.base, self.tokens, self.batches, self.steps, self.files = base, 0, set(), 0, []


def described(base):
    """Which weights are spread, what is here of them, and whether a new adapter scores as the reference does."""
    base.add_adapter("fresh", Stream(5, "fresh"))
    store = base.store
    prompts = np.array([store.add(row) for row in ([5], [6, 7, 8], [9, 4])])
    responses = np.array([store.add(row) for row in ([11, 12, 13], [14], [15, 16])])
    scores = {name: base.score(name, prompts, responses) for name in ("fresh", None)}
    spread = {name: value for name, value in base.peft.named_parameters() if isinstance(value, DTensor)}
    return {
        "spread": sorted(spread),
        "whole": sorted(name for name, _ in base.peft.named_parameters() if name not in spread),
        "shares": [value.to_local().numel() / value.numel() for value in spread.values()],
        "placements": sorted({str(value.placements) for value in spread.values()}),
        "as_reference": bool((scores["fresh"] == scores[None]).all()),
        "finite": bool(np.isfinite(scores[None]).all()),
    }


def main(folder):
    seen, found = Seen(), {}
    with together():
        for name, overrides in json.loads((folder / "jobs.json").read_text()):
            settings = read_settings(RunSettings, None, overrides)
            summary = run.train_run(settings, folder / name)
            counted = {"tokens": seen.tokens, "batches": sorted(seen.batches), "steps": seen.steps, "files": seen.files}
            found[name] = {"summary": summary.as_json(), **counted, **described(seen.base)}
        (folder / f"seen-{processes().rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
