"""The same candidates under pytest-benchmark: `pytest benchmarks --benchmark-enable`. Nothing asserts a time."""

import pytest
from duel import Skipped
from duels import DUELS


@pytest.mark.parametrize("name", DUELS)
def test_duel(name, benchmark):
    """Our side is timed; every opponent runs once and must give the same answer."""
    try:
        duel = DUELS[name]()
    except Skipped as reason:
        pytest.skip(str(reason))
    answer = benchmark.pedantic(duel.ours.run, rounds=duel.repeats, warmup_rounds=1)
    for opponent, (candidate, _) in duel.opponents.items():
        duel.agree(answer, opponent, candidate.run())
