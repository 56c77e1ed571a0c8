"""Maximum likelihood for choice models, batched over replicates."""
