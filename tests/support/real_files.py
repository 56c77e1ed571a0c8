"""Where the tests find real data."""

import os
from pathlib import Path

import pytest


def real_file(name: str) -> Path:
    """The file under PLURALIGN_DATA, or a skip that says where to get it."""
    folder = os.environ.get("PLURALIGN_DATA")
    path = Path(folder or ".") / name
    if not folder or not path.is_file():
        pytest.skip(
            f"{name} is not there: set PLURALIGN_DATA to a folder that holds it "
            "(MovieLens latest-small, grouplens.org/datasets/movielens)"
        )
    return path
