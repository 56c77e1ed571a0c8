"""The shared frozen base: its tokens, scores, samples and identity, and the journal of finished work."""
