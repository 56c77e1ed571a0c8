"""Who the annotators are, how they choose, and the one sampler that asks them."""
