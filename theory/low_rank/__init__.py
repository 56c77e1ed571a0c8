"""Claims about low-rank contextual RLHF (arXiv 2412.19436). Only its rate, its algorithm's steps and its qualitative
statements could be read; every other statement is reconstructed and marked so."""
