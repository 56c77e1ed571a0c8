"""Every numba kernel: arithmetic, nothing of a paper."""
