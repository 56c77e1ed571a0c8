"""Run by another interpreter, that of a peer: `PYTHON choice_peer.py TABLE.csv.gz PEER WORK`; see `choice_peers.py`.

Reads a line from standard input, fits once, prints {"seconds": ..., "processor_seconds": ...,
"log_likelihood": ...}; again until the input ends.
Imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

warnings.filterwarnings("ignore")
FEATURES = ["pf", "cl", "loc", "wk", "tod", "seas"]
START = [-0.625, -0.108, 1.442, 0.996, -5.463, -5.840]  # the conditional logit's


def xlogit_mixed(table: Any, draws: int) -> Callable[[], float]:
    from xlogit import MixedLogit

    def run() -> float:
        model = MixedLogit()
        model.fit(
            X=table[FEATURES].to_numpy(float), y=table["choice"].to_numpy(int), varnames=FEATURES, ids=table["chid"],
            panels=table["id"], alts=table["alt"], randvars=dict.fromkeys(FEATURES, "n"), n_draws=draws, halton=True,
            verbose=0,
        )  # fmt: skip
        return float(model.loglikelihood)

    return run


def _wide(table: Any) -> Any:
    """A row a choice, as biogeme takes it."""
    columns = {f"{name}{j}": own for name in FEATURES
               for j, own in table.pivot(index="chid", columns="alt", values=name).astype(float).items()}  # fmt: skip
    first = table.groupby("chid")
    taken = table[table["choice"]].set_index("chid")["alt"]
    return type(table)({"id": first["id"].first(), "taken": taken, **columns})


def biogeme_classes(table: Any, n_types: int) -> Callable[[], float]:
    import numpy as np
    from biogeme.biogeme import BIOGEME
    from biogeme.database import Database
    from biogeme.expressions import Beta, PanelLikelihoodTrajectory, Variable, exp, log
    from biogeme.models import logit

    wide = _wide(table)

    def run() -> float:
        data = Database("choices", wide.copy())
        data.panel("id")
        away = np.random.default_rng(0).normal(size=(n_types, len(FEATURES)))
        parts, shares = [], []
        for k in range(n_types):
            own = [Beta(f"b{k}_{name}", START[i] * (1 + 0.5 * away[k, i]), None, None, 0)
                   for i, name in enumerate(FEATURES)]  # fmt: skip
            utility = {
                j: sum(b * Variable(f"{name}{j}") for b, name in zip(own, FEATURES, strict=True)) for j in (1, 2, 3, 4)
            }
            parts.append(PanelLikelihoodTrajectory(logit(utility, None, Variable("taken"))))
            shares.append(exp(Beta(f"a{k}", 0.0, None, None, int(k == 0))))
        whole = sum(share / sum(shares) * part for share, part in zip(shares, parts, strict=True))
        model = BIOGEME(data, log(whole), generate_html=False, generate_yaml=False, save_iterations=False)
        model.model_name = "classes"
        return float(model.estimate().final_loglikelihood)

    return run


def choice_learn_classes(table: Any, n_types: int) -> Callable[[], float]:
    """Types drawn anew for each choice, not for each person: choice-learn's latent classes know no panel."""
    import numpy as np
    from choice_learn.data import ChoiceDataset
    from choice_learn.models.latent_class_mnl import LatentClassSimpleMNL

    ordered = table.sort_values(["chid", "alt"])
    features = ordered[FEATURES].to_numpy("float32").reshape(-1, 4, len(FEATURES))
    taken = ordered["choice"].to_numpy().reshape(-1, 4).argmax(axis=1)

    def run() -> float:
        data = ChoiceDataset(
            choices=taken, items_features_by_choice=(features,), items_features_by_choice_names=(FEATURES,)
        )
        model = LatentClassSimpleMNL(
            n_latent_classes=n_types, fit_method="mle", optimizer="lbfgs", epochs=1000, lbfgs_tolerance=1e-6
        )
        model.fit(data)
        return -float(np.asarray(model.evaluate(data))) * len(taken)

    return run


PEERS = {
    ("xlogit", "mixed"): xlogit_mixed,
    ("biogeme", "classes"): biogeme_classes,
    ("choice-learn", "classes"): choice_learn_classes,
}


def main() -> None:
    import pandas as pd

    path, peer, work, size = sys.argv[1:]
    table = pd.read_csv(path)
    # What the peer prints itself is no answer, and it may write files where it stands.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.chdir(tempfile.mkdtemp())
    run = PEERS[peer, work](table, int(size))
    for _ in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        value = run()
        took = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - worked}
        print(json.dumps({**took, "log_likelihood": value}), file=answers, flush=True)


if __name__ == "__main__":
    main()
