"""What policies trained with and without a region were worth, for a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sim.files.atomic import Json
from sim.fitting.scores import Interval

GREEDY = "greedy low-rank"
# What the pessimistic policies of a family of rewards are called.
FAMILIES = {"low-rank": "PRS", "full-rank": "full-rank"}


@dataclass(frozen=True)
class Shown:
    """What a policy shows a group of people: its worth, also less that of the greedy policy, with 95 % intervals over
    people (None: too few, or the greedy policy shows them the same), and how often it lies in the region."""

    value: float
    value_interval: Interval
    difference: float
    difference_interval: Interval
    share_inside: float


@dataclass(frozen=True)
class ServedPolicy:
    """constant: of its confidence set (None: it has none), `tuned` if chosen on held-out training people.  against: the
    greedy policy it is compared with.  groups: known and unseen people (None: nobody to serve)."""

    policy: str
    constant: float | None
    tuned: bool
    against: str
    groups: Mapping[str, Shown | None]

    def as_json(self) -> dict[str, Json]:
        own = {group: None if shown is None else asdict(shown) for group, shown in self.groups.items()}
        return {
            "policy": self.policy, "constant": self.constant, "tuned": self.tuned, "against": self.against, **own
        }  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """One training, on `pairs` answers: what was chosen, design effects by family, worth by policy and constant on
    held-out training people, the best constants, and what policies are worth."""

    pairs: int
    rank: int
    ridge: float
    full_rank_ridge: float
    design_effect: Mapping[str, float]
    tuned_constants: Mapping[str, float]
    tuning: Mapping[str, Mapping[float, float]]
    policies: tuple[ServedPolicy, ...]

    def as_json(self) -> dict[str, Json]:
        return {
            "rank": self.rank,
            "ridge": self.ridge,
            "full_rank_ridge": self.full_rank_ridge,
            "design_effect": dict(self.design_effect),
            "tuned_constants": dict(self.tuned_constants),
            "tuning": {policy: {f"{c:g}": worth for c, worth in of.items()} for policy, of in self.tuning.items()},
            "policies": [row.as_json() for row in self.policies],
        }


@dataclass(frozen=True)
class ServingTest:
    """Policies trained without a region of items (`with_shift`) and with it (`without_shift`), serving both sides.

    people, sets: served, by group.  worth: mean of candidates inside and outside the region, by group.
    """

    region: str
    items_inside: int
    items: int
    people: Mapping[str, int]
    sets: Mapping[str, int]
    worth: Mapping[str, Mapping[str, float | None]]
    scenarios: Mapping[str, Scenario]

    @property
    def verdict(self) -> list[str]:
        """In words: a line a scenario and group."""
        return [_verdict(self.scenarios[name], name, group) for name in self.scenarios for group in self.sets]

    def as_json(self) -> dict[str, Json]:
        return {
            "region": self.region,
            "items_inside": self.items_inside,
            "items": self.items,
            "training_pairs": {name: scenario.pairs for name, scenario in self.scenarios.items()},
            "people": dict(self.people),
            "sets": dict(self.sets),
            "worth": {group: dict(sides) for group, sides in self.worth.items()},
            "value": "share of the person's held-out answers about the item shown that it won",
            **{name: scenario.as_json() for name, scenario in self.scenarios.items()},
            "verdict": self.verdict,
        }


def _verdict(scenario: Scenario, name: str, group: str) -> str:
    """The pessimistic policy of the theorem, its constant chosen beforehand, against the greedy one, in words."""
    policy = f"{FAMILIES['low-rank']} distributional"
    ours = next(row.groups[group] for row in scenario.policies if row.policy == policy and row.tuned)
    greedy = next(row.groups[group] for row in scenario.policies if row.policy == GREEDY)
    what = f"{group.replace('_', ' ')}, {name.replace('_', ' ')}"
    if ours is None or greedy is None:
        return f"{what}: too few people"
    if ours.difference_interval is None:
        alike = "gives nobody more or less than greedy" if ours.difference == 0.0 else "beside greedy: too few people"
        return f"{what}: {policy} {alike}"
    low, high = ours.difference_interval
    said = "is worth more than" if low > 0 else "is worth less than" if high < 0 else "does not differ visibly from"
    return (
        f"{what}: {policy} {said} greedy ({ours.difference:+.3f} [{low:+.3f}, {high:+.3f}]) and shows "
        f"the region in {ours.share_inside:.0%} of cases, greedy in {greedy.share_inside:.0%}"
    )
