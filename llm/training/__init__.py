"""Fitting adapters: one, a group each, against the worst group, and a model to start from."""
