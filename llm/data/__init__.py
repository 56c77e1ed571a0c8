"""Preferences between texts, read from files or made by a protocol."""
