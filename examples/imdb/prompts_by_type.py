"""Groups that meet different prompts, on a model: what EM as printed makes of it, and what types' laws over prompts do.

    python examples/imdb/prompts_by_type.py REVIEWS.jsonl.gz MODEL [FOLDER] [--seeds N]

MODEL: the folder of `pluralign llm sft` (see run.sh). 120 annotators of two opposed tastes answer six pairs each, about
60 prompts, half of which each group has to itself with probability c. Three fits a draw: EM whose E-step leaves prompts
out (Assumption 1 of arXiv 2405.15065), and with laws whose prior counts for 5 and for 500 answers a type. Prints the
adjusted Rand index against the true groups and the mean log-likelihood of held-out answers, with 95 % intervals over
seeds. Every step resumes when it was killed and is skipped when it is finished.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np

from sim.studies.summary import half_width, pipe_table

HERE = Path(__file__).resolve().parent
CORRELATIONS, PRIORS = (0.0, 0.5, 1.0), ("null", "5", "500")


def llm(*words: str) -> None:
    subprocess.run([*os.environ.get("PLURALIGN", "pluralign").split(), "llm", *words], check=True)


def one_draw(reviews: str, model: str, out: Path, seed: int, correlation: float) -> dict[str, tuple[float, float]]:
    """Prior of the laws -> (adjusted Rand index, mean nats a held-out answer)."""
    name = f"{correlation:g}-{seed}"
    sizes = ("seed", seed), ("correlation", correlation), ("pairs", 6), ("pool", 60), ("unseen", 0)
    llm("make-imdb", "--config", str(HERE / "opposed.yaml"), "--data", reviews, "--model", model,
        "--set", f"continuations={out / 'continuations'}", "--out", str(out / name),
        *(word for key, value in sizes for word in ("--set", f"{key}={value}")))  # fmt: skip
    found = {}
    for prior in PRIORS:
        run = out / f"{name}-{prior}"
        llm("train", "--config", str(HERE / "train.yaml"), "--model", model, "--data", str(out / name / "pairs.jsonl"),
            "--method", "em-dpo", "--seed", str(seed), "--set", f"groups.prompt_laws={prior}", "--out", str(run),
            "--set", "data.new_prompts=0")  # fmt: skip
        kept = json.loads((run / "run.json").read_text(encoding="utf-8"))
        found[prior] = kept["adjusted_rand_index"], kept["held_out_log_likelihood"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reviews")
    parser.add_argument("model")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("prompts-by-type"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for correlation in CORRELATIONS:
        draws = [
            one_draw(options.reviews, options.model, options.folder, seed, correlation) for seed in range(options.seeds)
        ]
        for prior in PRIORS:
            columns = np.array([draw[prior] for draw in draws]).T
            shown = [f"{own.mean():.2f} ± {half_width(own):.2f}" for own in columns]
            rows.append((f"{correlation:g}", "as printed" if prior == "null" else f"laws, prior of {prior}", *shown))
    print(pipe_table(("c", "E-step", "adjusted Rand index", "held-out nats"), rows), end="")


if __name__ == "__main__":
    main()
