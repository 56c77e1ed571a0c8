"""The algorithms of the papers, written once over `PreferencePolicy`."""
