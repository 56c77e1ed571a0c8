"""Claims of EM-DPO and MinMax-DPO (Chidambaram, Seetharaman, Syrgkanis, arXiv 2405.15065)."""

from theory.engine.paper import Paper

PAPER = Paper(
    name="unobserved_types",
    source="arXiv 2405.15065",
    title="EM-DPO and MinMax-DPO",
    authors="Chidambaram, Seetharaman, Syrgkanis",
    place=1,
)
