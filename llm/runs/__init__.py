"""A training run as a folder, and what is done with a finished one."""
