"""One module a public data set."""
