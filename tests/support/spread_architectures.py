"""What torchrun starts in a test: random models of every architecture, whole and spread over the processes.

Called with a FOLDER of model folders; spread-RANK.json is written there: architecture -> what differs.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch

from llm.base.joining import together
from llm.base.processes import processes
from llm.base.sequences import collate
from llm.base.sharding import share_held
from llm.base.shared_base import SharedBase
from llm.runs import open_run
from llm.runs.run_settings import RunSettings
from llm.training.passes import start_gradient_checkpointing
from sim.settings import read_settings
from sim.streams import Stream


def numbers(folder, sharding, dtype):
    """Scores of a few rows by a random adapter, its gradient with recomputed activations, and the share held here."""
    overrides = ["device=cpu", f"dtype={dtype}", "scoring=float32", "threads=1", f"sharding={sharding}", "lora.rank=2"]
    base, _, _ = open_run.open_base(str(folder), read_settings(RunSettings, None, overrides))
    base.add_adapter("own", Stream(1, "adapter"))
    own = base.parameters_of("own")
    with torch.no_grad():
        for name, value in own.items():
            if "lora_B" in name:
                value.copy_(torch.from_numpy(0.1 * Stream(2, name).normals(tuple(value.shape))))
    rng = Stream(3, "rows").generator()
    rows = [[base.store.add(rng.integers(5, 270, int(rng.integers(2, 9)))) for _ in range(2)] for _ in range(6)]
    prompts, responses = np.array(rows).T
    found = [torch.from_numpy(base.score(name, prompts, responses)) for name in ("own", None)]
    with base.using("own"):
        start_gradient_checkpointing(base)
        for value in own.values():
            value.requires_grad_(True)
        base.scorer(collate(base.store, prompts, responses, base.pad)).sum().backward()
    return [*found, *(value.grad for value in own.values())], share_held(base.model)


def main(folder):
    found = {}
    # A probe would be the first pass of all, and not by chance one that leaves nothing behind.
    open_run.SharedBase = partial(SharedBase, probe=False)
    with together():
        for place in sorted(path for path in folder.iterdir() if path.is_dir()):
            for dtype in ("float32", "bfloat16"):
                (whole, all_of_it), (spread, share) = (numbers(place, how, dtype) for how in ("none", "full"))
                alike = all(torch.equal(one, other) for one, other in zip(whole, spread, strict=True))
                moved = any(float(value.abs().max()) > 0 for value in whole[2:])
                found[f"{place.name} {dtype}"] = {"alike": alike, "moved": moved, "held": [all_of_it, share]}
        (folder / f"spread-{processes().rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
