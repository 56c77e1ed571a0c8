"""The algorithms of `sim.algorithms` on policies that need torch."""
