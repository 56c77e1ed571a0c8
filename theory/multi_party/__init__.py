"""Claims of "Provable Multi-Party Reinforcement Learning with Diverse Human Feedback" (arXiv 2403.05006)."""

from theory.engine.paper import Paper

PAPER = Paper(
    name="multi_party",
    source="arXiv 2403.05006",
    title="Provable Multi-Party Reinforcement Learning with Diverse Human Feedback",
    authors="Zhong et al.",
    place=2,
)
