"""What only some methods can say of a fit: regrets, the spectrum of the rewards, serving under a shift."""
