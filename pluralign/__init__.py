"""The command line: the one room that sees `sim`, `theory` and `llm`."""

__version__ = "0.1.0"
