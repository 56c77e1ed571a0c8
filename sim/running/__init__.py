"""Engines and what every long run shares."""
