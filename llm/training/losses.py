"""The weighted DPO loss (Rafailov et al. 2023, eq. 7; arXiv 2405.15065, section 4): pure functions of numbers."""

from __future__ import annotations

import torch
from torch.nn import functional


def margins(
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    reference_chosen: torch.Tensor,
    reference_rejected: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """M_j = beta ((log pi - log pi_ref)(chosen) - (log pi - log pi_ref)(rejected)); all (n,), reward units."""
    return beta * ((chosen - reference_chosen) - (rejected - reference_rejected))


def weighted_dpo_loss(margin: torch.Tensor, weight: torch.Tensor, total: float | torch.Tensor) -> torch.Tensor:
    """-sum_j v_j log sigma(M_j) / total.

    With v = 1 and total = n this is DPO; with responsibilities and total = sum_j v_j over all of a group's answers
    it is the M-step of EM-DPO, as strong for a small group as for a large one.
    """
    return -(weight * functional.logsigmoid(margin)).sum() / total


def skipped_share(weights: torch.Tensor, kept: torch.Tensor) -> float:
    """epsilon = sum of the skipped weights / sum of all."""
    total = float(weights.sum())
    return float(weights[~kept].sum()) / total if total > 0 else 0.0


def skipping_bound(share: float, loss_kept: float, loss_skipped: float) -> float:
    """|F - G| = epsilon |l - G| <= epsilon max(l, G): what skipping a share epsilon of the weight changes.

    F is the loss over all answers, G over the kept, l over the skipped, each normalised by its own weight, all at
    the same parameters; F = (1 - epsilon) G + epsilon l, and losses are not negative.
    """
    return share * max(loss_kept, loss_skipped)
