"""Claims of personalised RLHF, aggregation, pooling and the truthful mechanism (Park et al., arXiv 2405.00254)."""

from theory.engine.paper import Paper

PAPER = Paper(
    name="personalization",
    source="arXiv 2405.00254",
    title="personalised RLHF, aggregation, pooling, truthful mechanisms",
    authors="Park et al.",
    place=3,
)
