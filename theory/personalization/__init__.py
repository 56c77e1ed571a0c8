"""Claims of personalised RLHF, aggregation, pooling and the truthful mechanism (Park et al., arXiv 2405.00254)."""
