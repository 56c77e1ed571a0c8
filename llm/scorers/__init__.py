"""What a text is worth to somebody: sentiment, grammar, length."""
