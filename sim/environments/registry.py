"""Worlds by name: ours, those of installed packages, and one's own as `module:NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sim.arguments import require_count, require_number
from sim.environments.contextual_pool import ContextualPool
from sim.environments.linear_types import LinearTypes
from sim.environments.protocol import FeaturedEnvironment
from sim.errors import InputError
from sim.plugins import Door, blaming
from sim.streams import Stream

ENVIRONMENTS = Door(
    "environment",
    {
        "opposed_tastes": "sim.environments.registry:opposed_tastes",
        "majority_bandit": "sim.environments.linear:majority_bandit",
        "compromise_arm": "sim.environments.tabular:compromise_arm",
        "maxmin_example": "sim.environments.tabular:maxmin_example",
    },
)
# What a world of pairs has to do; with features a log-linear policy can be fitted to its answers.
_VERBS = ("n_types", "draw_contexts", "shown", "draw_offers", "preferred", "features_of")


def find_environment(name: str, folder: str | Path | None = None, **settings: Any) -> FeaturedEnvironment:
    """The world of that name: ours, an installed package's, or one's own as module:NAME (an instance, or what makes
    one: a class or function, called with `settings`).

    folder: where a module is looked for first; None: the working directory.
    Errors: InputError where there is none, or where it leaves something of a world undone.
    """
    found = ENVIRONMENTS.find(name, folder)
    if isinstance(found, type) or not hasattr(found, "draw_contexts"):
        if not callable(found):
            raise InputError(
                f"environment '{name}': expected a world or what makes one, got {type(found).__name__}",
                fix="give a class, a function or an instance",
            )
        with blaming(f"environment '{name}'"):
            found = found(**settings)
    elif settings:
        raise InputError(f"environment '{name}': is a world already; {next(iter(settings))} cannot be set")
    return as_environment(found, name)


def as_environment(found: Any, name: str = "") -> FeaturedEnvironment:
    """A world that does all that a world with features has to, or InputError that names what it lacks."""
    called = name or type(found).__name__
    for verb in _VERBS:
        if not hasattr(found, verb):
            raise InputError(
                f"environment '{called}': does not say {verb}", fix="see sim.environments.protocol.FeaturedEnvironment"
            )
    if not isinstance(found, FeaturedEnvironment) or not isinstance(found.n_types, int) or found.n_types < 1:
        raise InputError(f"environment '{called}': n_types must be a whole number of at least 1")
    return found


def opposed_tastes(
    n_types: int = 2, n_features: int = 4, n_items: int = 40, strength: float = 1.5, seed: int = 0
) -> LinearTypes:
    """Items with normal features; types whose tastes lie evenly around a circle of the first two, opposed where they
    are two, and who all like the third alike.

    r_z(y) = strength (cos(2 pi z / K) y_1 + sin(2 pi z / K) y_2 + y_3 / 2). Both items of a pair are drawn uniformly,
    each by itself: one pair in n_items is of an item with itself, whose answer is by a fair coin.
    """
    require_count("n_types", n_types)
    require_count("n_features", n_features, 3)
    require_count("n_items", n_items, 2)
    require_number(strength=strength)
    angle = 2.0 * np.pi * np.arange(n_types) / n_types
    theta = np.zeros((n_types, n_features))
    theta[:, 0], theta[:, 1], theta[:, 2] = np.cos(angle), np.sin(angle), 0.5
    items = Stream(seed, "opposed-tastes").normals((1, n_items, n_features))
    law = np.full((1, n_items), 1.0 / n_items)
    return LinearTypes(ContextualPool(items, np.ones(1), law, law), strength * theta)
