"""`pluralign llm VERB`: the same algorithms on language models."""

from __future__ import annotations

import importlib
from importlib import util
from typing import Any

import click

from pluralign.launched import among_processes
from pluralign.lazy import LazyVerbs
from sim.install import install_line

VERBS = {
    "sft": "Train a small Mistral from scratch on plain text, or continue a pretrained model.",
    "make-imdb": "Build a preference data set with two groups of annotators from a model's own continuations.",
    "make-tastes": "Score texts by real tastes, for the study of who should get a reward of her own.",
    "train": "Fit policies to preferences: em-dpo, cluster-dpo, dpo or group-dpo, one LoRA adapter a group.",
    "reward": "Fit rewards on a model's hidden states: one for all, one each, shared, clusters, types.",
    "choose": "Choose one of several responses a prompt for parties that disagree, by their rewards.",
    "minmax": "Weigh a run's policies so that the worst-served group regrets least.",
    "eval": "Evaluate a run on annotators or answers held out: accuracy, margins, sampled quality, regret.",
    "generate": "Sample responses from a run's ensemble or from one of its groups.",
    "merge": "Write one group's policy as a model of its own, its adapter in the weights of the base.",
    "plan": "Say what a run will need (parameters, memory, tokens, hours) before anything is loaded.",
}
_NEEDS = ("torch", "transformers", "peft", "safetensors", "tokenizers")


# Verbs that several processes share; any other one is the first process's alone.
_SHARED = ("train",)


class LlmVerbs(LazyVerbs):
    verbs = VERBS

    def invoke(self, ctx: click.Context) -> Any:
        # Before click 9 the verb's name is kept apart from its arguments.
        verb = next(iter([*getattr(ctx, "_protected_args", ()), *ctx.args]), "")
        with among_processes(shared=verb in _SHARED) as works:
            return super().invoke(ctx) if works else 0

    def load(self, name: str) -> click.Command:
        missing = [package for package in _NEEDS if util.find_spec(package) is None]
        if missing:
            raise click.UsageError(f"needs {', '.join(missing)}; {install_line('llm')}")
        from pluralign.ownership import require_own_llm

        require_own_llm()
        module = importlib.import_module(f"pluralign.commands.llm_{name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.group("llm", cls=LlmVerbs)
def command() -> None:
    """EM-DPO, Cluster-DPO, DPO, group-robust DPO and MinMax-DPO on one frozen language model, an adapter a group.

    \b
    Offline, from nothing but text:
      pluralign llm sft --data imdb_train.jsonl.gz --out sft
      pluralign llm make-imdb --data imdb_train.jsonl.gz --model sft --scenario opposed --out pairs
      pluralign llm train --method em-dpo --model sft --data pairs/pairs.jsonl --out run
      pluralign llm minmax run
      pluralign llm eval run
    """
