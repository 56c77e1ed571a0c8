"""Choices of people with planted coefficients, as the arrays that the choice models take."""

import numpy as np

from sim.streams import Stream


def planted_choices(seed, n_people, n_choices, thetas, sizes=(2, 3, 4)):
    """(arrays by keyword, each choice as person, features and what was taken); thetas: (n_people, d)."""
    stream = Stream(seed, role="planted choices")
    d = thetas.shape[1]
    rows, starts, who, listed = [], [0], [], []
    for i in range(n_people):
        for c in range(n_choices):
            own = stream.at(replicate=i * n_choices + c)
            size = sizes[(i + c) % len(sizes)]
            x = own.child("x").normals((size, d))
            taken = int((x @ thetas[i] + own.child("noise").gumbels(size)).argmax())
            rows.append(x[taken] - np.delete(x, taken, axis=0))
            starts.append(starts[-1] + size - 1)
            who.append(i)
            listed.append((i, x, taken))
    arrays = {"rows": np.concatenate(rows), "starts": np.array(starts), "annotator": np.array(who)}
    return arrays, listed
