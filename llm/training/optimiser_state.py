"""Parameters, the moments of their optimiser and what else a fit goes on from as named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch

_NOTHING: Mapping[str, torch.Tensor] = {}


def as_tensors(
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    beside: Mapping[str, torch.Tensor] = _NOTHING,
) -> dict[str, torch.Tensor]:
    """`parameter/NAME`, `optimizer/NUMBER/MOMENT` and, of what else there is, `beside/NAME`; copied."""
    tensors = {f"parameter/{name}": value.detach().clone() for name, value in parameters.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": torch.as_tensor(value).clone() for name, value in moments.items()}
    return tensors | {f"beside/{name}": value.detach().clone() for name, value in beside.items()}


def put_back(
    tensors: Mapping[str, torch.Tensor],
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> dict[str, torch.Tensor]:
    """What `as_tensors` made, in place; returns what else there was."""
    beside: dict[str, torch.Tensor] = {}
    state: dict[int, dict[str, torch.Tensor]] = {}
    with torch.no_grad():
        for name, value in tensors.items():
            kind, rest = name.split("/", 1)
            if kind == "parameter":
                parameters[rest].copy_(value)
            elif kind == "beside":
                beside[rest] = value
            else:
                number, moment = rest.split("/")
                state.setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return beside
