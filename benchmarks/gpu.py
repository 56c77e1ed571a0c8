"""An EM round on a Mistral-7B-shaped model with random weights, on the GPU at hand; in small on a CPU. One JSON.

    python benchmarks/gpu.py [--types 2,8] [--pairs 32] [--tokens 256] [--out gpu.json]
    python benchmarks/gpu.py --small                                   # a 0.1-million-parameter model, on a CPU
    python benchmarks/gpu.py --reviews REVIEWS.jsonl.gz                # examples/smollm2/run.sh end to end as well

What is timed is EM-DPO's start and a round after it, K groups and soft responsibilities: the reference's scores, and
twice a pass of training a group over every pair and everybody's scores under every group.  Of each K: seconds, tokens
a second, FLOPs over the device's peak (model-FLOPs utilisation, FLOPs as `llm plan` counts them), peak memory, and
what `llm plan` said it would be.  TRL does the same work where it is installed.  Needs torch, transformers and peft,
and nothing that is not in this repository: it runs from a checkout without installation.
"""

# ruff: noqa: E402  (it finds the repository before it imports from it)
from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

from llm.base.device import choose_arithmetic, pick_device
from llm.base.identity import versions
from llm.base.lora_settings import LoraSettings
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import SIZES
from llm.base.tokens import TokenStore
from llm.planning.plan import MISTRAL_7B, measure_cpu, plan
from llm.planning.plan_settings import PlanSettings
from llm.planning.planned import Plan
from llm.training.adapter_policy import AdapterPolicy
from llm.training.answer_sizes import LargestAnswer
from llm.training.device_memory import choose_checkpointing
from llm.training.live_bytes import LiveBytes
from llm.training.passes import DPOTraining
from sim.algorithms.cross_fit import Fixed
from sim.algorithms.em_dpo import em_dpo
from sim.preferences import PreferencePairs
from sim.streams import Stream

ANNOTATORS, LORA = 16, LoraSettings(rank=8)
# Dense bf16 peaks in FLOP/s by a part of the device's name.
PEAKS = {"H200": 990e12, "H100": 990e12, "A100": 312e12}


def new_model(small: bool, device: str) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    size = SIZES["mini"]
    shape = MISTRAL_7B if not small else {
        "vocab_size": size.vocabulary, "hidden_size": size.hidden, "intermediate_size": size.feed_forward,
        "num_hidden_layers": size.layers, "num_attention_heads": size.heads, "num_key_value_heads": size.kv_heads,
        "max_position_embeddings": 2048, "tie_word_embeddings": True, "sliding_window": None,
    }  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if device == "cpu" else torch.bfloat16)
    try:
        with torch.device(device):
            torch.manual_seed(0)
            return MistralForCausalLM(MistralConfig(**shape)).eval()
    finally:
        torch.set_default_dtype(before)


def now(device: str) -> float:
    """Seconds of the clock when all that was asked of the device is done."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextlib.contextmanager
def peak_memory(device: str) -> Iterator[dict[str, float]]:
    """GiB that tensors held at most while this lasts: the allocator's account on CUDA, counted on a CPU."""
    found: dict[str, float] = {}
    if device == "cpu":
        with LiveBytes() as count:
            yield found
            found["gib"] = count.peak / 2**30
        return
    torch.cuda.reset_peak_memory_stats()
    yield found
    torch.cuda.synchronize()
    found["gib"] = torch.cuda.max_memory_allocated() / 2**30
    found["reserved_gib"] = torch.cuda.max_memory_reserved() / 2**30


def ours(K: int, pairs: int, tokens: int, small: bool, device: str, planned: Plan, peak: float) -> dict[str, Any]:
    with peak_memory(device) as memory:
        base = SharedBase(new_model(small, device), TokenStore(), pad=0, end=2, lora=LORA)
        vocabulary = int(base.model.config.vocab_size)
        prompts, chosen, rejected = (
            base.store.add_all(Stream(1, side).integers(vocabulary - 4, (pairs, tokens)) + 3) for side in "pcr"
        )
        data = PreferencePairs(prompts, chosen, rejected, np.arange(pairs) % ANNOTATORS, ANNOTATORS)
        for k in range(K):
            base.add_adapter(f"group_{k}", Stream(k))
        training = DPOTraining(rate=1e-4, batch=16, epochs=1, settled=0.0)
        recompute = choose_checkpointing(base, K, LargestAnswer(tokens, tokens), training)
        training = replace(training, gradient_checkpointing=recompute)
        policies = [
            AdapterPolicy(base, f"group_{k}", beta=0.1, training=training, stream=Stream(2, str(k))) for k in range(K)
        ]
        start = np.full((ANNOTATORS, K), 1.0 / K)
        began = now(device)
        em_dpo(data, policies, start=start, estep=Fixed(start), max_rounds=1, tolerance=0.0, guard=False)
        seconds = now(device) - began
    through, flops = planned.tokens.soft, planned.flops.soft
    return {
        "seconds": seconds, "tokens_per_second": through / seconds, "model_flops_utilisation": flops / seconds / peak,
        "gradient_checkpointing": recompute, "prompts_shared": base.scorer.shares, "peak_memory": memory,
        "planned_gib": planned.memory_bytes.peak / 2**30, "planned": planned.verdict,
    }  # fmt: skip


def theirs(K: int, pairs: int, tokens: int, small: bool, device: str) -> dict[str, Any]:
    """TRL's trainers, one a group after the other: reference scores, and twice a pass and scores of every pair."""
    import datasets
    from llm_against_trl import scoring_seconds
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    from llm.base.small_mistral import train_tokenizer

    words = [f"{a}{b}" for a in ("ba", "ke", "li", "mo") for b in ("d", "ra", "ne", "st")]
    tokenizer = train_tokenizer([" ".join(words)] * 4, 300)
    texts = [
        {side: " ".join(words[n] for n in Stream(3, side, j).integers(len(words), tokens // 2))
         for side in ("prompt", "chosen", "rejected")}
        for j in range(pairs)
    ]  # fmt: skip
    seconds, batch = 0.0, 16 if small else 4
    datasets.disable_progress_bars()
    clock = partial(now, device)
    with peak_memory(device) as memory, contextlib.ExitStack() as stack:
        model = new_model(small, device)
        for _ in range(K):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            arguments = DPOConfig(
                output_dir=folder, per_device_train_batch_size=batch, gradient_accumulation_steps=16 // batch,
                num_train_epochs=1, beta=0.1, report_to="none",
                bf16=device != "cpu", use_cpu=device == "cpu", save_strategy="no", gradient_checkpointing=not small,
                precompute_ref_log_probs=True, max_length=None, disable_tqdm=True, logging_strategy="no",
            )  # fmt: skip
            trainer = DPOTrainer(
                model=model, args=arguments, train_dataset=datasets.Dataset.from_list(texts),
                processing_class=tokenizer,
                peft_config=LoraConfig(r=8, lora_alpha=16.0, task_type="CAUSAL_LM", target_modules="all-linear"),
            )  # fmt: skip
            # Its reference's log-probabilities are made in the constructor, with all that a trainer needs beside them:
            # one pass of scores is charged for them.
            seconds += scoring_seconds(trainer, texts, tokenizer, batch, clock)
            for _ in range(2):
                began = clock()
                trainer.train()
                seconds += clock() - began + scoring_seconds(trainer, texts, tokenizer, batch, clock)
            model = trainer.model.unload()
    return {"seconds": seconds, "peak_memory": memory}


def smollm2(reviews: str, out: Path) -> list[dict[str, Any]]:
    """examples/smollm2/run.sh, and when each of its steps began."""
    command = ["bash", str(ROOT / "examples/smollm2/run.sh"), reviews, "opposed", "2", str(out)]
    began, steps = time.perf_counter(), []
    own = {**os.environ, "PLURALIGN": f"{sys.executable} -m pluralign", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("== "):
                steps.append({"step": " ".join(line.split()[2:4]), "began_s": time.perf_counter() - began})
    if running.returncode:
        raise SystemExit(f"examples/smollm2/run.sh ended with {running.returncode}")
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", default="2,8")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256, help="of a prompt, and of a response")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--no-trl", action="store_true")
    parser.add_argument("--reviews")
    parser.add_argument("--out", default="gpu.json")
    options = parser.parse_args()
    device = pick_device("cpu" if options.small else "auto")
    if device == "cpu" and not options.small:
        raise SystemExit("no CUDA device: give --small")
    choose_arithmetic(device)
    name = platform.processor() or platform.machine() if device == "cpu" else torch.cuda.get_device_name(0)
    peak = measure_cpu() if device == "cpu" else next((own for part, own in PEAKS.items() if part in name), 312e12)
    found: dict[str, Any] = {
        "device": name, "versions": {**versions(), "python": platform.python_version()},
        "memory_gib": None if device == "cpu" else torch.cuda.get_device_properties(0).total_memory / 2**30,
        "peak_flops_per_second": peak, "pairs": options.pairs, "tokens": options.tokens, "rounds": {},
    }  # fmt: skip

    def write() -> None:
        Path(options.out).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")

    for K in map(int, options.types.split(",")):
        settings = PlanSettings(
            size="mini" if options.small else "mistral-7b", types=K, pairs=options.pairs, rounds=1, lora=LORA,
            prompt_tokens=options.tokens, response_tokens=options.tokens, device="cpu" if device == "cpu" else "h200",
            training=DPOTraining(batch=16, epochs=1),
            memory=None if device == "cpu" else torch.cuda.mem_get_info()[0] / 2**30,
        )  # fmt: skip
        row = {"ours": ours(K, options.pairs, options.tokens, options.small, device, plan(settings), peak)}
        if device != "cpu":
            torch.cuda.empty_cache()
        if not options.no_trl and all(importlib.util.find_spec(name) for name in ("trl", "datasets")):
            row["trl"] = theirs(K, options.pairs, options.tokens, options.small, device)
            row["ratio"] = row["trl"]["seconds"] / row["ours"]["seconds"]
        found["rounds"][str(K)] = row
        write()
        print(json.dumps({K: row}), flush=True)
    if options.reviews:
        found["smollm2"] = smollm2(options.reviews, Path(options.out).with_suffix(".smollm2"))
    write()
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
