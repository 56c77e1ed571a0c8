"""The form of an adapter: LoRA, rank-stabilised (rsLoRA) or weight-decomposed (DoRA), as PEFT computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from llm.base.linear_layers import AdaptedLayers


@dataclass(frozen=True)
class LoraSettings:
    """rank r, alpha (the update is alpha / r B A), and the linear layers that get an adapter.

    layers: "all-linear" (every linear layer of the decoder but routers of experts), "attention" (those of them that
    lie in attention, whatever they are called), or names as in the model's modules, with commas between.  The head
    and the embeddings never get one.
    rslora: the update is alpha / sqrt(r) B A.                                               [arXiv 2312.03732, eq. (4)]
    dora: the length m of every row of a weight is learned beside its direction, which the adapter turns:
    m (W + s B A) / |W + s B A|, s as above.                                                 [arXiv 2402.09353, eq. (5)]
    dropout: share of an adapter's inputs that a training step sets to zero; scores and samples are without it.
    start: an adapter's folder at which every group's begins, or a list of folders, one a group; None: as the reference.
    """

    rank: int = 8
    alpha: float = 16.0
    layers: str = "all-linear"
    rslora: bool = False
    dora: bool = False
    dropout: float = 0.0
    start: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError(f"lora.rank and lora.alpha must be positive (got {self.rank}, {self.alpha})")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lora.dropout must lie in [0, 1) (got {self.dropout})")

    def identity(self) -> dict[str, Any]:
        """What the same numbers in an adapter mean, and how it is fitted: not what it begins at, which its numbers say.

        What is as it always was is left out, so that work from before an option existed keeps its name.
        """
        options = {"rslora": self.rslora, "dora": self.dora, "dropout": self.dropout}
        plain = {"rank": self.rank, "alpha": self.alpha, "layers": self.layers}
        return {**plain, **{name: value for name, value in options.items() if value}}

    def peft_config(self, layers: AdaptedLayers) -> Any:
        """The same in PEFT's words, on these layers."""
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, use_rslora=self.rslora, use_dora=self.dora,
            bias="none", target_modules=list(layers.targets), task_type="CAUSAL_LM", fan_in_fan_out=layers.transposed,
        )  # fmt: skip


def measure_lengths(model: Any, name: str) -> None:
    """Give a new DoRA adapter the lengths of the rows of the weights under it, in float32.

    PEFT measures them in the base's dtype, and in float32 later on: under a bfloat16 base an adapter that has learned
    nothing would stretch its rows by up to a third of a per cent, .07 nats of a response's log-probability.
    """
    from peft.tuners.lora import LoraLayer
    from peft.utils.integrations import dequantize_module_weight

    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, LoraLayer) and name in layer.lora_magnitude_vector:
                own = layer.lora_magnitude_vector[name]
                weight = dequantize_module_weight(layer.get_base_layer()).float()
                own.weight.copy_(torch.linalg.norm(weight.T if own.fan_in_fan_out else weight, dim=1))
