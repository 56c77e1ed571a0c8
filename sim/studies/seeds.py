"""How many replicates the cells of a study have: as many each, or, where they end at a target error, from so few on."""

from __future__ import annotations

from collections.abc import Collection

from sim.studies.results import Results


def replicates_a_cell(results: Results, left_out: Collection[str] = ()) -> tuple[int, int]:
    """The fewest and the most that a cell has in these rows; cells left out: those that were skipped."""
    counts = [own.replicates for cell, own in results.by("cell_id").items() if cell not in left_out]
    return min(counts, default=0), max(counts, default=0)


def from_to(counts: tuple[int, int], words: str = "") -> str:
    """ "768", or "16 to 768", and of what."""
    few, many = counts
    return f"{many:,}{words}" if few == many else f"{few:,} to {many:,}{words}"
