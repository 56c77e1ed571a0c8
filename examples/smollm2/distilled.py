"""How far a run has gone towards the policy that `llm choose --beta` gives on candidates.

    python examples/smollm2/distilled.py RUN REWARDS CANDIDATES [--trained FILE] [--first N]

CANDIDATES: a file of `llm choose`.  FILE: the pairs that the run was trained on; prompts that are there and new ones
are told apart.
Candidates are draws of the reference, so that on them it is uniform, the run's policy is proportional to pi / pi_ref,
and the closed form to exp(Agg_alpha / beta).  Of each: its mean aggregate above that of the reference, and KL from it
to the closed form; means over prompts, with 95 % limits (Student's).
"""

from __future__ import annotations

import argparse
import json

import numpy as np

import pluralign as pl
from llm.data.rendered_tokens import RenderedTokens, common_length
from llm.runs.open_run import OpenRun, open_run
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray
from sim.studies.precision import half_width
from sim.studies.summary import pipe_table


def log_ratios(run: OpenRun, prompt: str, responses: tuple[str, ...]) -> FloatArray:
    """log pi / pi_ref of each response; (A,)."""
    rendered, store = RenderedTokens(run.tokenizer), run.base.store
    asked, told = rendered.text(prompt), [rendered.text(prompt + response) for response in responses]
    # Where the end of the prompt merges with an answer, it is the answer's, as in training.
    known = min(common_length(asked, row) for row in told)
    context, rows = store.add(asked[:known]), store.add_all(row[known:] for row in told)
    return run.policies[0].log_ratio(np.full(len(rows), context), np.array(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("rewards")
    parser.add_argument("candidates")
    parser.add_argument("--trained", help="told apart: prompts of this file")
    parser.add_argument("--first", type=int, help="only so many prompts")
    parser.add_argument("--alpha", type=float, default=-1.0)
    parser.add_argument("--beta", type=float, default=0.1)
    given = parser.parse_args()
    run, fit = open_run(given.run), pl.load_fit(given.rewards)
    found, met = pl.choose(fit, given.candidates, "aggregate", alpha=given.alpha, beta=given.beta), set()
    if given.trained:
        with open(given.trained, encoding="utf-8") as lines:
            met = {json.loads(line)["prompt"] for line in lines}
    # (trained on, policy) -> what its samples are worth, and how far they are from the closed form, a prompt each.
    rows: dict[tuple[bool, str], list[tuple[float, float]]] = {}
    asked = found.candidates
    every = list(zip(asked.prompts, asked.responses, found.choices, strict=True))
    for prompt, responses, choice in every[: given.first]:
        flat = log_softmax(np.zeros(len(responses)))
        closed = log_softmax(choice.value / given.beta)
        own = log_softmax(log_ratios(run, prompt, responses))
        for name, log_p in (("reference", flat), ("run", own), ("closed form", closed)):
            gain = (np.exp(log_p) - np.exp(flat)) @ choice.value
            rows.setdefault((prompt in met, name), []).append((gain, np.exp(closed) @ (closed - log_p)))
    body = []
    for (trained, name), values in rows.items():
        table = np.array(values)
        halves = (half_width(own) for own in table.T)
        shown = (
            f"{mean:.3f}" + (f" ± {half:.3f}" if np.isfinite(half) else "")
            for mean, half in zip(table.mean(axis=0), halves, strict=True)
        )
        body.append(("trained on" if trained else "new", str(len(table)), name, *shown))
    heads = ("prompts", "number", "policy", "aggregate above the mean, nats", "KL of the closed form from it")
    print(pipe_table(heads, body))


if __name__ == "__main__":
    main()
