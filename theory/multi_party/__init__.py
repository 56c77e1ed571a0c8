"""Claims of "Provable Multi-Party Reinforcement Learning with Diverse Human Feedback" (arXiv 2403.05006)."""
