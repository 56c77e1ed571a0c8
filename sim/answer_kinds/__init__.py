"""What answers are to a likelihood: pairs, ties, ordered levels, choices out of sets, rankings and ratings."""
