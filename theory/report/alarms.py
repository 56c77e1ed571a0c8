"""False alarms: how often a check that should come out one way does not, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from sim.files.atomic import write_json, write_text
from theory.engine.intervals import binomial_interval
from theory.engine.judges import ALPHA
from theory.engine.runner import CheckReport
from theory.engine.theorem import Json
from theory.report.table import markdown_rows


@dataclass(frozen=True)
class Rate:
    """events of trials, with the exact interval of their frequency."""

    events: int
    trials: int

    @property
    def interval(self) -> tuple[float, float]:
        return binomial_interval(self.events, self.trials) if self.trials else (0.0, 1.0)

    def as_json(self) -> Json:
        share = self.events / self.trials if self.trials else None
        return {"events": self.events, "trials": self.trials, "rate": share, "interval": list(self.interval)}


@dataclass(frozen=True)
class Suspect:
    """A claim's variant whose verdict, or one of whose controls, was not as expected at some seed.

    p_value: of so many or more, were each seed's chance the level of one check.
    """

    claim_id: str
    paper: str
    what: str
    seeds: tuple[int, ...]
    p_value: float
    stands_out: bool


@dataclass(frozen=True)
class Alarms:
    """verdicts, controls: by paper and pooled ("all").  clean: the seeds of each paper at which nothing differed."""

    seeds: tuple[int, ...]
    profile: str
    verdicts: dict[str, Rate]
    controls: dict[str, Rate]
    clean: dict[str, tuple[int, ...]]
    suspects: tuple[Suspect, ...]

    @property
    def exit_code(self) -> int:
        """1 where a single claim stands out, 0 otherwise."""
        return int(any(own.stands_out for own in self.suspects))

    def as_json(self) -> Json:
        return {
            "seeds": list(self.seeds), "profile": self.profile,
            "verdicts": {paper: rate.as_json() for paper, rate in self.verdicts.items()},
            "controls": {paper: rate.as_json() for paper, rate in self.controls.items()},
            "clean_seeds": {paper: list(own) for paper, own in self.clean.items()},
            "claims": [{**own.__dict__, "seeds": list(own.seeds)} for own in self.suspects],
            "exit_code": self.exit_code,
        }  # fmt: skip

    def table(self) -> str:
        rows = [("paper", "verdicts not as expected", "95 % interval", "controls that escaped", "95 % interval",
                 "clean seeds")]  # fmt: skip
        for paper, verdicts in self.verdicts.items():
            controls = self.controls[paper]
            rows.append((
                paper, f"{verdicts.events} of {verdicts.trials}", _interval(verdicts),
                f"{controls.events} of {controls.trials}", _interval(controls),
                f"{len(self.clean[paper])} of {len(self.seeds)}",
            ))  # fmt: skip
        return markdown_rows(rows)

    def suspects_table(self) -> str:
        rows = [("claim", "what differed", "at seeds", "p", "stands out")]
        rows += [
            (own.claim_id, own.what, ", ".join(map(str, own.seeds)), f"{own.p_value:.2g}",
             "yes" if own.stands_out else "no")
            for own in self.suspects
        ]  # fmt: skip
        return markdown_rows(rows)

    def write(self, folder: Path) -> None:
        write_json(folder / "alarms.json", self.as_json())
        write_text(folder / "alarms.md", f"{self.table()}\n\n{self.suspects_table()}\n")


def _interval(rate: Rate) -> str:
    low, high = rate.interval
    return f"[{100 * low:.2g} %, {100 * high:.2g} %]"


def alarms(reports: Sequence[CheckReport]) -> Alarms:
    """One report a seed, of the same claims."""
    seeds = tuple(report.seed for report in reports)
    papers = list(dict.fromkeys(check.paper for report in reports for check in report.checks))
    verdicts, controls, clean = {}, {}, {}
    odd: dict[tuple[str, str, str], list[int]] = {}
    for report in reports:
        for check in report.checks:
            if not check.as_expected:
                found = f"{check.variant}: {check.verdict}" + ("" if check.tight else ", share outside its band")
                odd.setdefault((check.claim_id, check.paper, found), []).append(report.seed)
            for control in check.controls:
                if not control.caught:
                    found = f"{check.variant}: control '{control.name}' escaped"
                    odd.setdefault((check.claim_id, check.paper, found), []).append(report.seed)
    for paper in [*papers, "all"]:
        own = [check for report in reports for check in report.checks if paper in (check.paper, "all")]
        verdicts[paper] = Rate(sum(not check.as_expected for check in own), len(own))
        escaped = sum(not control.caught for check in own for control in check.controls)
        controls[paper] = Rate(escaped, sum(len(check.controls) for check in own))
        clean[paper] = tuple(
            report.seed for report in reports
            if all(check.as_expected and all(control.caught for control in check.controls)
                   for check in report.checks if paper in (check.paper, "all"))
        )  # fmt: skip
    # A check may err at its level; over all that were run, one that does so far more often is named.
    tests = max(sum(len(report.checks) for report in reports[:1]), 1)
    suspects = []
    for (claim, paper, what), at in odd.items():
        p = float(stats.binom.sf(len(at) - 1, len(seeds), ALPHA))
        suspects.append(Suspect(claim, paper, what, tuple(at), p, p <= ALPHA / tests))
    suspects.sort(key=lambda own: (own.p_value, own.claim_id))
    return Alarms(seeds, reports[0].profile if reports else "quick", verdicts, controls, clean, tuple(suspects))
