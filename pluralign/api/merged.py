"""One group's policy of a run as a model of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pluralign.api.frames import said
from pluralign.api.shown import Page, Shown
from pluralign.ownership import importing_llm


@dataclass(frozen=True, repr=False)
class MergedGroup(Shown):
    """group: the adapter.  folder: of the model.  dtype: of its weights.  told: the whole of merged.json, with what
    merging in float32 and rounding to `dtype` move on a probe."""

    group: str
    folder: Path
    dtype: str
    told: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return dict(self.told)

    def page(self) -> Page:
        rows = [
            ["merging, logits", self.told["merging"]],
            [f"rounding to {self.dtype}, logits", self.told["rounding"]],
            [f"rounding to {self.dtype}, nats a token", self.told["rounding_log_probability"]],
            ["for scale: the largest logit", self.told["largest_logit"]],
        ]
        title = f"{self.group} merged into its base ({self.dtype}): {self.folder}"
        return Page(title, ["largest change on 64 tokens", "by"], rows)


def merge_group(
    run: str | Path, group: str | int, folder: str | Path, *, model: str | Path | None = None, device: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> MergedGroup:  # fmt: skip
    """One group's adapter in the weights of its base, as a folder that `AutoModelForCausalLM` loads.

    run: a folder of `pluralign llm train`.  group: an adapter's name or number, or direct.  model: where the base lies
    now, if it was moved.  Weights are merged in float32 and stored in the base's own dtype.
    Errors: InputError for the ensemble, which is no one model; where there is no such group; where the run or its base
    was changed, or `folder` exists.
    """
    with importing_llm("a group of a language model's run"):
        from llm.runs.merged_model import merge_group_model

    found = merge_group_model(run, group, folder, model=model, device=device, progress=said(progress))
    return MergedGroup(found.group, Path(folder), found.dtype, found.as_json())
