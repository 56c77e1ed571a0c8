"""Claims about the checks themselves: judges, intervals, multiplicity, verdicts, streams."""

from theory.engine.paper import Paper

PAPER = Paper(
    name="calibration",
    source="pluralign, statistics of a verdict",
    title="The checks' own statistics",
    authors="pluralign",
    place=5,
)
