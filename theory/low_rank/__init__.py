"""Claims about low-rank contextual RLHF (arXiv 2412.19436). Only its rate, its algorithm's steps and its qualitative
statements could be read; every other statement is reconstructed and marked so."""

from theory.engine.paper import Paper

PAPER = Paper(
    name="low_rank",
    source="arXiv 2412.19436",
    title="low-rank contextual RLHF, pessimism in a reduced subspace",
    authors="Lee, Sun, Liu",
    place=4,
)
