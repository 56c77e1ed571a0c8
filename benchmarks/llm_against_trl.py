"""EM-DPO on adapters against a loop of TRL trainers: pairs a second, same model, same data, same batch sizes.

    python benchmarks/llm_against_trl.py [--types 2,4,8] [--modes soft,sharp] [--ways alone] [--batch 16]
                                         [--pairs 600] [--rounds 2] [--repeats 3]

One round of the opponent: a TRL DPOTrainer a group (its reference log-probabilities precomputed, gradient checkpointing
off, no evaluation, no saving), then an E-step that scores every pair under every group's policy with TRL's own batches
and log-probability function.  `soft`: every group is trained on every pair, as an M-step with unsharpened
responsibilities needs; TRL has no weights, so its loop does the same work with weights one.  `sharp`: each group is
trained on its own half of the pairs, on both sides: what is left is the loop itself.  `--ways alone,pays,together`:
ours one group after the other, together where that pays (training.together=null), or always together (true).
All are alternated in one process, on one thread; medians of processor seconds are printed. Needs trl and datasets.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

from llm.base.lora_settings import LoraSettings
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import SIZES, new_mistral, train_tokenizer
from llm.base.tokens import TokenStore
from llm.training.adapter_policy import AdapterPolicy
from llm.training.joint_policies import fit_all_of
from llm.training.passes import DPOTraining
from sim.algorithms.em_dpo import em_dpo
from sim.preferences import PreferencePairs
from sim.streams import Stream

LEARNING_RATE = 1e-3
# training.together of each way.
WAYS = {"alone": False, "pays": None, "together": True}
clock = time.process_time


def rows_of(n: int) -> list[dict[str, str]]:
    """Prompts of about 20 words and responses of 5 to 35, words drawn from a small vocabulary."""
    words = [
        f"{a}{b}" for a in ("ba", "ke", "li", "mo", "nu", "pra", "so", "ti") for b in ("d", "ra", "ne", "st", "ly")
    ]

    def text(stream: Stream, low: int, high: int) -> str:
        size = low + int(stream.child("size").uniforms(1)[0] * (high - low))
        return " ".join(words[j] for j in stream.integers(len(words), size))

    out = []
    for j in range(n):
        own = Stream(1, "bench", j)
        out.append({
            "prompt": text(own.child("p"), 18, 22), "chosen": " " + text(own.child("c"), 5, 35),
            "rejected": " " + text(own.child("r"), 5, 35),
        })  # fmt: skip
    return out


def ours(
    rows: list[dict[str, str]], tokenizer: Any, rounds: int, sharp: bool, K: int, batch: int, together: bool | None
) -> float:
    """Seconds of `rounds` EM rounds, the reference pass included."""
    base = SharedBase(
        new_mistral(SIZES["tiny"], 512, Stream(0)), TokenStore(), pad=tokenizer.pad_token_id,
        end=tokenizer.eos_token_id,
        lora=LoraSettings(rank=8, layers="attention"),
    )  # fmt: skip
    end = tokenizer.eos_token_id
    prompt = [tokenizer(row["prompt"])["input_ids"] for row in rows]
    sides = [
        [tokenizer(row[s], add_special_tokens=False)["input_ids"] + [end] for row in rows]
        for s in ("chosen", "rejected")
    ]
    n = len(rows)
    pairs = PreferencePairs(
        base.store.add_all(prompt), base.store.add_all(sides[0]), base.store.add_all(sides[1]), np.arange(n) % 20, 20
    )
    training = DPOTraining(
        rate=LEARNING_RATE, batch=batch, epochs=1, warmup=0.0, schedule="linear", together=together
    )  # fmt: skip
    policies = []
    for k in range(K):
        base.add_adapter(f"g{k}", Stream(k))
        policies.append(AdapterPolicy(base, f"g{k}", beta=0.1, training=training, stream=Stream(2, role=str(k))))
    start = np.eye(K)[np.arange(20) % K] if sharp else np.full((20, K), 1.0 / K)

    def keep(answers: Any, annotator: Any, n_annotators: int, mixture: Any) -> Any:
        from sim.algorithms.cross_fit import Fixed

        return Fixed(start)(answers, annotator, n_annotators, mixture)

    began = clock()
    # The start is round one: an M-step and an E-step; guard off, as the opponent has none.
    em_dpo(
        pairs, policies, start=start, estep=keep, max_rounds=rounds - 1, tolerance=0.0, guard=False,
        fit_all=fit_all_of(policies, pairs),
    )  # fmt: skip
    return clock() - began


def theirs(rows: list[dict[str, str]], tokenizer: Any, rounds: int, sharp: bool, K: int, batch: int) -> float:
    """Seconds of the same rounds with TRL; making a trainer is not counted."""
    import datasets
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    reference = 0.0
    trainers = []
    for k in range(K):
        mine = [row for j, row in enumerate(rows) if not sharp or (j % 20) % K == k]
        with tempfile.TemporaryDirectory() as folder:
            arguments = DPOConfig(
                output_dir=folder, per_device_train_batch_size=batch, num_train_epochs=1, learning_rate=LEARNING_RATE,
                beta=0.1, report_to="none", bf16=False, use_cpu=True, save_strategy="no", gradient_checkpointing=False,
                precompute_ref_log_probs=True, max_length=None, disable_tqdm=True, logging_strategy="no",
            )  # fmt: skip
            trainer = DPOTrainer(
                model=new_mistral(SIZES["tiny"], 512, Stream(0)), args=arguments,
                train_dataset=datasets.Dataset.from_list(mine), processing_class=tokenizer,
                peft_config=LoraConfig(r=8, lora_alpha=16.0, lora_dropout=0.0, task_type="CAUSAL_LM",
                                       target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
            )  # fmt: skip
        # The constructor tokenises and precomputes; only one forward pass over its pairs is charged for that.
        reference += scoring_seconds(trainer, mine, tokenizer, batch)
        trainers.append(trainer)
    began = clock()
    for _ in range(rounds):
        for trainer in trainers:
            trainer.train()
    trained = clock() - began
    scored = sum(scoring_seconds(trainer, rows, tokenizer, batch) for trainer in trainers for _ in range(rounds))
    return reference + trained + scored


def scoring_seconds(
    trainer: Any, rows: list[dict[str, str]], tokenizer: Any, batch: int, now: Callable[[], float] = clock
) -> float:
    """Seconds by `now` to score both responses of every pair under a trainer's policy; tokenisation not counted."""
    tokens = [
        {"prompt_ids": tokenizer(row["prompt"])["input_ids"],
         **{f"{s}_ids": tokenizer(row[s], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
            for s in ("chosen", "rejected")}}
        for row in rows
    ]  # fmt: skip
    trainer.model.eval()
    began = now()
    for lo in range(0, len(tokens), 2 * batch):
        rows_of_batch = trainer.data_collator(tokens[lo : lo + 2 * batch])
        e_step_scores(trainer.model, {name: own.to(trainer.model.device) for name, own in rows_of_batch.items()})
    return now() - began


def e_step_scores(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sums of completion log-probabilities, as TRL's own reference pass makes them."""
    from trl.trainer.utils import selective_log_softmax

    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        scores = selective_log_softmax(logits[:, :-1], batch["input_ids"][:, 1:])
        return (scores * batch["completion_mask"][:, 1:]).sum(dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--types", default="2", help="numbers of groups, with commas between")
    parser.add_argument("--modes", default="soft,sharp")
    parser.add_argument("--ways", default="alone", help=f"of {', '.join(WAYS)}, with commas between")
    parser.add_argument("--batch", type=int, default=16, help="pairs an optimiser step")
    options = parser.parse_args()
    # Processor time of one thread: what a busy machine takes of the clock is nobody's.
    torch.set_num_threads(1)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    import datasets

    datasets.disable_progress_bars()
    rows = rows_of(options.pairs)
    tokenizer = train_tokenizer([f"{row['prompt']}{row['chosen']}" for row in rows], SIZES["tiny"].vocabulary)
    answer: dict[str, Any] = {"pairs": options.pairs, "rounds": options.rounds, "load": os.getloadavg()[0]}
    for K, mode in itertools.product(map(int, options.types.split(",")), options.modes.split(",")):
        ways = options.ways.split(",")
        seconds: dict[str, list[float]] = {name: [] for name in [*ways, "trl"]}
        for repeat in range(options.repeats):
            for name in list(seconds)[:: 1 if repeat % 2 == 0 else -1]:
                given = rows, tokenizer, options.rounds, mode == "sharp", K, options.batch
                seconds[name].append(theirs(*given) if name == "trl" else ours(*given, WAYS[name]))
        b = statistics.median(seconds["trl"])
        for way in ways:
            a = statistics.median(seconds[way])
            answer[f"{mode}, {K} groups, {way}"] = found = {
                "ours_s": round(a, 2), "trl_s": round(b, 2), "ratio": round(b / a, 2),
                "pairs_per_second": round(options.pairs * options.rounds / a),
            }  # fmt: skip
            print(mode, K, way, json.dumps(found), flush=True)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
