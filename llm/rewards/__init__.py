"""Reward models on a language model's hidden states."""
