"""What was chosen for each prompt, and what can be said for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, bars
from sim.files.atomic import write_text
from sim.files.candidate_files import Candidates
from sim.files.file_rows import require_ending
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.tables.candidate_certificates import Certificate, axioms_of_rule, certificate, lies
from sim.tables.candidates import CandidateChoice, HowToChoose
from sim.tables.distilled import Kind, distilled_pairs

# Parties without a say that are named.
_SHOWN = 4


class Choosing(Shown):
    """What was chosen for each prompt.  parties: names; rewards: (M, A) a prompt; choices: a `CandidateChoice` each;
    known_prompts: how many the fit was made of, None where it does not say."""

    def __init__(
        self, candidates: Candidates, how: HowToChoose, parties: Sequence[str], rewards: Sequence[FloatArray],
        choices: Sequence[CandidateChoice], known_prompts: int | None = None,
    ) -> None:  # fmt: skip
        self.candidates, self.how, self.parties = candidates, how, tuple(parties)
        self.rewards, self.choices, self.known_prompts = tuple(rewards), tuple(choices), known_prompts

    @cached_property
    def certificates(self) -> tuple[Certificate, ...]:
        """Of each prompt, by the estimated rewards: shares of the maximum, efficiency, the gap."""
        return tuple(
            certificate(table, found, self.how) for table, found in zip(self.rewards, self.choices, strict=True)
        )

    @cached_property
    def axioms(self) -> dict[str, float]:
        """Shares of trials in which the rule obeys: see `sim.tables.candidate_certificates.axioms_of_rule`."""
        return axioms_of_rule(self.rewards, self.how)

    @cached_property
    def mechanism(self) -> dict[str, Any]:
        """By party, summed over prompts: costs, and what a lie could gain at most; {} without a mechanism.

        misreport_gain_at_most: a proof.  best_misreport_gain: the best report found, None where there are too many
        parties and candidates to search.
        """
        if not self.how.mechanism:
            return {}
        found = lies(self.rewards, self.how)
        costs = np.sum([own.costs for own in self.choices if own.costs is not None], axis=0)
        told = {"costs": costs, "misreport_gain_at_most": found.at_most, "best_misreport_gain": found.best}
        return {
            name: None if values is None else dict(zip(self.parties, values.tolist(), strict=True))
            for name, values in told.items()
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A prompt each: prompt, choice (its number from 0), response; lottery, value, costs, and what each party
        is sure of, where there are any; shares of the maximum, whether the choice is efficient, by how much it is not.
        """
        out = []
        for number, found in enumerate(self.choices):
            responses = self.candidates.responses[number]
            row: dict[str, Any] = {
                "prompt": self.candidates.prompts[number], "choice": found.choice,
                "response": responses[found.choice], "rewards": self.rewards[number][:, found.choice].tolist(),
            }  # fmt: skip
            if self.how.is_mixed:
                row["lottery"] = found.lottery.tolist()
            if found.value is not None:
                row["value"] = found.value.tolist()
            if found.gap is not None:
                row["gap"] = finite(found.gap)
            if found.costs is not None:
                row["costs"] = found.costs.tolist()
            if found.sure is not None:
                row["sure"] = found.sure.tolist()
            if found.heard is not None and self.how.counted_from == "worst":
                row["unheard"] = [name for name, own in zip(self.parties, found.heard, strict=True) if not own]
            own = self.certificates[number]
            row |= {
                "share_of_maximum": own.share_of_maximum.tolist(), "pareto_efficient": own.pareto.efficient,
                "tau": finite(own.pareto.tau), "optimality_gap": finite(own.optimality_gap),
            }  # fmt: skip
            out.append(row)
        return out

    @property
    def mean_rewards(self) -> FloatArray:
        """(M,) what each party gets in the mean over prompts, above its mean candidate; nats."""
        gains = [
            (table - table.mean(axis=1, keepdims=True)) @ found.lottery
            for table, found in zip(self.rewards, self.choices, strict=True)
        ]
        return np.asarray(np.mean(gains, axis=0))

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign llm choose --json` prints."""
        return {
            "rule": self.how.rule, "alpha": self.how.alpha if np.isfinite(self.how.alpha) else str(self.how.alpha),
            "zero": self.how.counted_from, "radius": self.how.radius if self.how.pessimistic else None,
            "known_prompts": self.known_prompts, "parties": list(self.parties),
            "mean_rewards": self.mean_rewards.tolist(),
            "certificates": self._summary, "axioms": self.axioms,
            **({"mechanism": self.mechanism} if self.how.mechanism else {}), "choices": self.rows,
        }  # fmt: skip

    @plain_numbers
    def distil(self, kind: Kind, *, pairs: int = 20, seed: int = 0) -> list[dict[str, Any]]:
        """The choice as answers that `llm train` with method dpo trains one adapter on.

        kind: pop-dpo (of rule pool), aggregated, or weighted (of aggregate and max-min): see `sim.tables.distilled`.
        pairs: most of each prompt's pairs of candidates, at random by `seed`.
        Two candidates of one text are no pair; a prompt whose candidates the rule does not tell apart has none.
        Errors: InputError where the rule has no such labels.
        """
        found = distilled_pairs(self.rewards, self.choices, self.how, kind, Stream(seed, "distil"), pairs=pairs)
        asked = self.candidates
        return [
            {"prompt": asked.prompts[p], "chosen": asked.responses[p][a], "rejected": asked.responses[p][b],
             "annotator_id": "everybody", "weight": weight}
            for p, a, b, weight in zip(found.prompt.tolist(), found.chosen.tolist(), found.rejected.tolist(),
                                       found.weight.tolist(), strict=True)
            if asked.responses[p][a] != asked.responses[p][b]
        ]  # fmt: skip

    def save(self, path: str | Path) -> None:
        """The rows as JSONL."""
        write_rows(path, self.rows)

    @property
    def _summary(self) -> dict[str, Any]:
        """Over prompts: mean shares by party, the smallest, shares of prompts that are certified, the largest gaps."""
        own = self.certificates
        gaps = [one.optimality_gap for one in own if one.optimality_gap is not None]
        transfers = [one.transfers for one in own if one.transfers is not None]
        return {
            "share_of_maximum": np.mean([one.share_of_maximum for one in own], axis=0).tolist(),
            "smallest_share": min(one.smallest_share for one in own),
            "one_over_m": float(np.mean([one.one_over_m for one in own])),
            "certified": float(np.mean([one.certified for one in own])),
            "pareto_efficient": float(np.mean([one.pareto.efficient for one in own])),
            "tau": finite(max(one.pareto.tau for one in own)),
            "optimality_gap": finite(max(gaps)) if gaps else None,
            "equalising_transfers": sum(one.available for one in transfers) if transfers else None,
        }

    def page(self) -> Page:
        shares = self._summary["share_of_maximum"]
        rows = list(zip(self.parties, self.mean_rewards.tolist(), shares, strict=True))
        sizes = sorted({len(responses) for responses in self.candidates.responses})
        of = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        return Page(
            f"{self.how.rule}, {len(self.parties)} parties: {len(self.choices)} prompts, {of} candidates each",
            ("party", "reward above its mean candidate", "share of its maximum"), rows, self._notes,
        )  # fmt: skip

    @property
    def _notes(self) -> list[str]:
        told = self._summary
        against = "lotteries" if self.how.is_mixed else "candidates"
        notes = [
            f"Pareto efficient among {against}: {told['pareto_efficient']:.0%}; "
            f"smallest share {told['smallest_share']:.2g}"
        ]
        if self.how.is_mixed and told["optimality_gap"] is not None:
            notes[0] += f"; gap {float(told['optimality_gap']):.1g}"
        if self.how.mechanism:
            total, most = (sum(self.mechanism[name].values()) for name in ("costs", "misreport_gain_at_most"))
            notes.append(f"costs {total:.4g} nats in all; no lies gain more than {most:.2g}")
        if self.known_prompts is not None and self.known_prompts < len(self.choices):
            notes.append(f"{len(self.choices) - self.known_prompts} prompts are not among those the fit was made of")
        return notes + self._doubt

    @property
    def _doubt(self) -> list[str]:
        if not self.how.pessimistic or self.how.counted_from != "worst":
            return []
        heard = np.stack([found.heard for found in self.choices if found.heard is not None])
        nobody, said_so = int((~heard.any(axis=1)).sum()), []
        if nobody:
            said_so.append(f"{nobody} prompts where nobody is sure to prefer anything: their choice is arbitrary")
        left_out = (~heard & heard.any(axis=1, keepdims=True)).sum(axis=0)
        if left_out.any():
            most = np.argsort(-left_out, kind="stable")[: min(_SHOWN, int((left_out > 0).sum()))]
            shown = ", ".join(f"{self.parties[m]} on {left_out[m]}" for m in most)
            more = int((left_out > 0).sum()) - len(most)
            others = f", and {more} more" if more else ""
            said_so.append(f"sure of nothing where others are: {shown}{others} (of {len(heard)} prompts)")
        return said_so

    def plot(self) -> Any:
        """Axes: what each party gets in the mean."""
        return bars(self.page().title, {"reward": self.mean_rewards.tolist()}, self.parties, "nats above the mean")


def write_rows(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """As JSONL, whole or not at all.  Errors: InputError for a name with another ending."""
    require_ending(path, ".jsonl")
    write_text(Path(path), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def finite(value: float | None) -> float | str | None:
    """JSON has no infinity."""
    return value if value is None or np.isfinite(value) else "inf"
