"""The logistic loss of answers under a reward a person, and its slopes by person."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from sim.compiled.jit import FAST, faint_exp, log1p_unit


@njit(**FAST)
def losses_and_slopes(rewards, differences, person, weight, offset, slopes):
    """(sum w log(1 + e^-u), sum w sigma'(u)), u = o + <rewards[person], z>; slopes[i] = sum over i's answers of
    -w sigma(-u) z."""
    slopes[:] = 0.0
    loss, curved = 0.0, 0.0
    for j in range(differences.shape[0]):
        if weight[j] == 0.0:
            continue
        reward, z, slope, u = rewards[person[j]], differences[j], slopes[person[j]], offset[j]
        for k in range(z.size):
            u += reward[k] * z[k]
        e = faint_exp(-abs(u))
        loss += weight[j] * (log1p_unit(e) + max(-u, 0.0))
        curved += weight[j] * e / ((1.0 + e) * (1.0 + e))
        step = -weight[j] * (e if u >= 0.0 else 1.0) / (1.0 + e)
        for k in range(z.size):
            slope[k] += step * z[k]
    return loss, curved
