"""The policy protocol and its exact backends."""
