"""Verdict table and figures."""
