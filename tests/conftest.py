"""Where tests run side by side, each process keeps to one thread."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when the libraries are first loaded, and by the commands that tests start. Threads of several processes that
    # wait for each other on the same cores cost more than they gain. A test of several threads asks for them.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

    import numba

    # Not by its variable, which would be the most that a test can ask for.
    numba.set_num_threads(1)
