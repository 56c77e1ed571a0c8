"""`plan`: what a run will need, before anything is loaded."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from llm.base.gguf_models import gguf_config
from llm.base.model_folder import base_folder, gguf_file_of, longest_input
from llm.base.sequences import eval_tokens_for
from llm.base.shared_prompts import longest_shared, may_share
from llm.base.small_mistral import SIZES
from llm.planning.plan_settings import PlanSettings
from llm.planning.planned import Plan, PlannedMemory, PlannedTokens, PlannedWork
from llm.planning.planned_answers import PlannedAnswers, planned_answers
from llm.planning.ways import memory_of, ways_to_fit
from llm.training.answer_sizes import LargestAnswer
from llm.training.joint_passes import Sharing
from llm.training.rehearsal import StepShape
from sim.errors import InputError
from sim.reading import load_json

MISTRAL_7B: dict[str, Any] = {
    "vocab_size": 32_768, "hidden_size": 4_096, "intermediate_size": 14_336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 32_768,
    "tie_word_embeddings": False, "sliding_window": None,
}  # fmt: skip
# Dense bf16 peaks in FLOP/s, and the share of them that training reaches; both are assumptions, printed as such.
_DEVICES = {"h200": 990e12, "h100": 990e12, "a100": 312e12}
_SHARE = {"cuda": 0.35, "cpu": 0.6}


def _config(settings: PlanSettings) -> Any:
    from transformers import MistralConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if settings.model is not None:
        config = _config_of(settings.model)
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise InputError(
                f"transformers has no causal language model of its configuration ({config.model_type})",
                file=settings.model, fix="give the folder of a causal language model",
            )  # fmt: skip
        return config
    if settings.size == "mistral-7b":
        return MistralConfig(**MISTRAL_7B)
    if settings.size not in SIZES:
        raise InputError(
            f"unknown size '{settings.size}'", field="size", fix=f"choose one of {', '.join(SIZES)}, mistral-7b"
        )
    size = SIZES[settings.size]
    return MistralConfig(
        vocab_size=size.vocabulary, hidden_size=size.hidden, intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers, num_attention_heads=size.heads, num_key_value_heads=size.kv_heads,
        max_position_embeddings=512, tie_word_embeddings=True, sliding_window=None,
    )  # fmt: skip


def _config_of(model: str) -> Any:
    """The configuration of a model's language part."""
    from transformers import CONFIG_MAPPING

    if (alone := gguf_file_of(model)) is not None:
        return gguf_config(alone)
    path = base_folder(Path(model)) / "config.json"
    try:
        content = load_json(path.read_text(encoding="utf-8"))
        # Of a model of images and text the language part is what is trained.
        return CONFIG_MAPPING[content["model_type"]].from_dict(content).get_text_config()
    except OSError as error:
        raise InputError("holds no config.json", file=model, fix="give a model folder") from error
    except (ValueError, KeyError) as error:
        raise InputError(f"is not a model configuration ({error})", file=path) from error


def plan(settings: PlanSettings, flops: float | None = None) -> Plan:
    """Parameters, memory, tokens and hours. Memory is the peak of a training step, an evaluation batch and a batch of
    sampled responses, run on tensors without values (`LiveBytes`), of the cheapest way that fits (`ways_to_fit`; where
    none does, of the last); hours are FLOPs over an assumed share of the device's peak.

    Memory is what tensors hold. A process adds its libraries (about 0.5 GiB), and on a CPU glibc keeps freed blocks:
    up to 1.8 times the planned peak was measured, the plan itself with MALLOC_MMAP_THRESHOLD_=65536 set (a third to a
    half slower).

    flops: the device's peak in FLOP/s (default: the device's own, measured for the CPU)."""
    config = _config(settings)
    on_gpu = settings.device != "cpu"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    answers = planned_answers(settings)
    length = answers.prompt_tokens + answers.response_tokens
    most = longest_input(config)
    if most is not None and length > most:
        raise InputError(
            f"{length} tokens do not fit the model's {most} positions",
            fix="lower prompt_tokens or response_tokens",
        )
    largest, training = _largest(config, answers, most), settings.training
    step = min(max(training.micro_tokens, largest.tokens), training.batch * largest.tokens)
    # Of answers of many lengths shorter ones fill what the longest leave: the piece is full, as training rehearses it.
    at_once = step // largest.tokens if answers.largest is None else -(-step // largest.tokens)
    longest = largest.prompt + largest.response
    rows_at_once = max(1, (settings.eval_tokens or eval_tokens_for(settings.device)) // longest)
    shape = StepShape(largest.prompt, largest.response, at_once, rows_at_once, largest.responses, largest.alone)
    joint = _joint_step(config, settings, answers, shape, largest.tokens)
    ways, seen = ways_to_fit(config, dtype, settings, shape, joint)
    way = ways[-1]
    tokens, work = _work(seen.parameters, seen.embedding, config, settings, answers, way.recompute)
    peak = flops or (_DEVICES[settings.device] if on_gpu else measure_cpu())
    share = _SHARE["cuda" if on_gpu else "cpu"]
    return Plan(
        model=settings.model or settings.size,
        parameters=seen.parameters,
        adapter_parameters=seen.adapter_parameters,
        types=settings.types,
        device=settings.device,
        dtype=str(dtype).removeprefix("torch."),
        memory_bytes=PlannedMemory(
            seen.weights,
            seen.adapters,
            seen.training_peak,
            seen.evaluation_peak,
            seen.sampling_peak,
            way.peak,
        ),
        pairs_per_forward=joint.answers if joint is not None and way.together else at_once,
        tokens=tokens,
        flops=work,
        assumed_flops_per_second=peak * share,
        assumed_share_of_peak=share,
        hours=PlannedWork(
            work.sharp / (peak * share) / 3600 / way.devices, work.soft / (peak * share) / 3600 / way.devices
        ),
        memory_of_device=memory_of(settings),
        mean_tokens=(answers.prompt_tokens, answers.response_tokens),
        longest_tokens=(largest.prompt, largest.response),
        largest_responses=largest.responses,
        ways=tuple(ways),
    )


def _joint_step(
    config: Any, settings: PlanSettings, answers: PlannedAnswers, shape: StepShape, of_largest: int
) -> StepShape | None:  # fmt: skip
    """A step of all groups in one forward pass; None where groups do not share passes (`Sharing.of`)."""
    training, each = settings.training, pair_tokens(config, answers)
    sharing, own = Sharing.of(training, settings.lora), min(training.batch, answers.pairs)
    if sharing is None or settings.types == 1 or own * each > sharing.tokens:
        return None
    return replace(shape, answers=min(settings.types * own, max(1, training.micro_tokens // of_largest)))


def _largest(config: Any, answers: PlannedAnswers, most: int | None) -> LargestAnswer:
    """As training lays it out, cut to what the model reads, as training cuts or drops what is longer."""
    behind, alone = (_within(answers.as_largest(own), most) for own in (False, True))
    return behind if _shares_up_to(config, behind.tokens) else alone


def _within(answer: LargestAnswer, most: int | None) -> LargestAnswer:
    if most is None:
        return answer
    response = min(answer.response, most - 1)
    return replace(answer, prompt=min(answer.prompt, most - response), response=response)


def pair_tokens(config: Any, answers: PlannedAnswers) -> int:
    """Mean tokens of an answer in training: its prompt once, where the model allows (see `shared_prompts`)."""
    together = answers.prompt_tokens + round(answers.responses * answers.response_tokens)
    if _shares_up_to(config, together):
        return together
    return round(answers.responses * (answers.prompt_tokens + answers.response_tokens))


def _shares_up_to(config: Any, tokens: int) -> bool:
    window = longest_shared(config)
    return may_share(config) and (window is None or tokens <= window)


def _work(
    parameters: int, embedding: int, config: Any, settings: PlanSettings, answers: PlannedAnswers, recompute: bool
) -> tuple[PlannedTokens, PlannedWork]:
    """Tokens and FLOPs of a whole EM run.

    A forward pass costs 2 FLOPs a parameter and token (the head only at response tokens) plus attention; a backward
    pass through frozen weights as much again.  `sharp`: every answer trains one group; `soft`: every answer all K.
    Where answers alike are merged, a group has those that its own people gave: of all K together up to K times what is
    left over everybody.  Each different response is scored once a fit and group, counted as if it shared no prompt.
    """
    length, of_pair = answers.prompt_tokens + answers.response_tokens, pair_tokens(config, answers)
    tied = bool(getattr(config, "tie_word_embeddings", False))
    body = parameters - (embedding if tied else 2 * embedding)
    attention = 2 * config.num_hidden_layers * config.hidden_size * length
    head = answers.response_tokens * 2 * embedding
    forward = length * (2 * body + attention) + head
    forward_of_pair = (
        of_pair * (2 * body + attention * min(of_pair / length, answers.responses)) + answers.responses * head
    )
    K, fits = settings.types, settings.rounds + 1
    passes = 3 if recompute else 2
    # Answers that a pass of all groups' fits goes over.
    merging = settings.training.merge and answers.alike is not None
    soft = K * ((answers.alike or 0) if merging else answers.pairs)
    sharp = min(soft, answers.pairs)
    scored = answers.distinct * (1 + fits * K)
    trained = fits * settings.training.epochs
    return (
        PlannedTokens(
            data=float(answers.responses * answers.pairs * length),
            sharp=float(length * scored + of_pair * trained * sharp),
            soft=float(length * scored + of_pair * trained * soft),
        ),
        PlannedWork(
            sharp=float(forward * scored + forward_of_pair * trained * passes * sharp),
            soft=float(forward * scored + forward_of_pair * trained * passes * soft),
        ),
    )


def measure_cpu(seconds: float = 0.3) -> float:
    """FLOP/s of float32 matrix products of a training step's size on this machine's threads."""
    a, b = torch.zeros(2048, 512), torch.zeros(512, 512)
    torch.mm(a, b)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        torch.mm(a, b)
        done += 1
    return done * 2.0 * 2048 * 512 * 512 / (time.perf_counter() - began)
