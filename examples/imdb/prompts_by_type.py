"""Groups that meet different prompts, on a model: what EM as printed makes of it, and what types' laws over prompts do.

    python examples/imdb/prompts_by_type.py REVIEWS.jsonl.gz MODEL [FOLDER] [--seeds N]

MODEL: the folder of `pluralign llm sft` (see run.sh). 120 annotators of two opposed tastes answer two pairs each (or
--answers), about 60 prompts: with probability c one of the half that her group has to itself, else any. Three fits a
draw: EM whose E-step leaves prompts out (Assumption 1 of arXiv 2405.15065), and with laws whose prior counts for 5 and
for 500 answers a type; linear heads and one fit of the adapters. Prints the adjusted Rand index against the true groups
and how far the shares found are from 2/3 and 1/3, with 95 % intervals over seeds. Every step resumes when it was killed
and is skipped when it is finished.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np

from sim.studies.precision import half_width
from sim.studies.summary import pipe_table

HERE = Path(__file__).resolve().parent
CORRELATIONS, PRIORS = (0.0, 0.5, 1.0), ("null", "5", "500")


def llm(*words: str) -> None:
    subprocess.run([*os.environ.get("PLURALIGN", "pluralign").split(), "llm", *words], check=True)


def one_draw(given: argparse.Namespace, seed: int, correlation: float) -> dict[str, tuple[float, float]]:
    """Prior of the laws -> (adjusted Rand index, half of the shares' absolute error)."""
    reviews, model, out = given.reviews, given.model, given.folder
    name = f"{given.answers}-{correlation:g}-{seed}"
    sizes = (
        ("seed", seed), ("correlation", correlation), ("pairs", given.answers), ("pool", 60), ("unseen", 0),
        ("reviews", 4000),
    )  # fmt: skip
    llm("make-imdb", "--config", str(HERE / "opposed.yaml"), "--data", reviews, "--model", model,
        "--set", f"continuations={out / 'continuations'}", "--out", str(out / name),
        *(word for key, value in sizes for word in ("--set", f"{key}={value}")))  # fmt: skip
    found = {}
    for prior in PRIORS:
        run = out / f"{name}-{prior}"
        own = ("data.new_prompts=0", "groups.rounds=0", f"groups.prompt_laws={prior}")
        llm("train", "--config", str(HERE / "train.yaml"), "--model", model, "--data", str(out / name / "pairs.jsonl"),
            "--method", "em-dpo", "--seed", str(seed), "--out", str(run),
            *(word for setting in own for word in ("--set", setting)))  # fmt: skip
        kept = json.loads((run / "run.json").read_text(encoding="utf-8"))
        found[prior] = kept["adjusted_rand_index"], abs(max(kept["mixture"]) - 2 / 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reviews")
    parser.add_argument("model")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("prompts-by-type"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--answers", type=int, default=2, help="of each annotator")
    options = parser.parse_args()
    rows = []
    for correlation in CORRELATIONS:
        draws = [one_draw(options, seed, correlation) for seed in range(options.seeds)]
        for prior in PRIORS:
            columns = np.array([draw[prior] for draw in draws]).T
            widths = map(half_width, columns)
            shown = [
                f"{own.mean():.2f}" + ("" if np.isnan(half) else f" ± {half:.2f}")
                for own, half in zip(columns, widths, strict=True)
            ]
            rows.append((f"{correlation:g}", "as printed" if prior == "null" else f"laws, prior of {prior}", *shown))
    print(pipe_table(("c", "E-step", "adjusted Rand index", "error of the shares"), rows), end="")


if __name__ == "__main__":
    main()
