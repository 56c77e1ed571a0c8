"""Small networks in place of a matrix or a table; no language model."""
