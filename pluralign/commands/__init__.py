"""One module a verb; each holds a click command named `command` and imports heavy modules when it runs."""
