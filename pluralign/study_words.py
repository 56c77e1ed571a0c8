"""What is said of a study's state and of its plan, by the command and by Python alike."""

from __future__ import annotations

from pluralign.progress import duration
from sim.running.memory import in_bytes
from sim.studies.planning import StudyPlan
from sim.studies.status import StudyStatus


def status_headline(status: StudyStatus) -> str:
    """Its name, its state, and how much is finished, has failed and is left."""
    share = "" if status.shard == "1/1" else f" (share {status.shard})"
    left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
    of = f"{status.done:,} replicates" if at_its_target(status) else (
        f"{status.done:,} of {status.total:,} replicates finished"
    )  # fmt: skip
    why = (
        f", each cell at its target error or at {status.cells[0][2]:,}"
        if at_its_target(status) and status.cells
        else ""
    )
    return f"{status.title}{share}: {status.state}; {of}{why}, {status.failed:,} failed{left}"


def status_notes(status: StudyStatus) -> list[str]:
    """Who runs it, what stopped it, and what has changed since."""
    running = f"by process {status.process} on {status.machine}; finished work is kept in {status.place}"
    return [note for note in (running if status.state == "running" else "", status.message, status.changed) if note]


def at_its_target(status: StudyStatus) -> bool:
    """Finished by its Monte-Carlo errors: its cells need not have come to their last replicate."""
    return status.state == "finished" and bool(status.target_error)


def plan_words(plan: StudyPlan) -> dict[str, str]:
    """Replicates, memory and time in words, and the first failure where there is one."""
    memory = "not known" if plan.memory is None else (
        f"about {in_bytes(plan.memory)} a replicate of the largest cell, {in_bytes(plan.memory * plan.workers)} for "
        f"{plan.workers} workers, and what the program itself takes"
    )  # fmt: skip
    skipped = f", {plan.skipped} skipped" if plan.skipped else ""
    whole = plan.seconds_in_all
    time = "not measured" if plan.seconds is None or whole is None else (
        f"about {duration(whole)} with {plan.workers} workers ({plan.seconds:.3g} s a replicate, measured on "
        f"{plan.measured} of {plan.cells} cells{f'; {plan.too_long} failed or took too long' if plan.too_long else ''})"
    )  # fmt: skip
    words = {
        "replicates": f"{plan.replicates:,} of {plan.cells} cells{skipped}; {plan.finished:,} of them are finished",
        "memory": memory, "time": time,
    }  # fmt: skip
    return words if plan.error is None else {**words, "the first that failed": plan.error}
