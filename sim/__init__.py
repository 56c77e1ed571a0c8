"""Environments, populations of annotators, preferences, policies, estimators and algorithms."""
