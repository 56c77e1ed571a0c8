"""Finite and linear environments with exact expectations where they exist."""
