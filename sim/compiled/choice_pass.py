"""Compiled EM for log-linear types where an answer is a choice out of a set: one pass, as `em_pass` makes it for pairs.

A choice holds a row for every alternative that was not taken, features of the taken minus its own: with margins
z_j = o_j + <theta, x_j> its log-likelihood is -log(1 + sum_j e^-z_j).  A pair has one row.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from sim.compiled.em_pass import CHUNKS, Sums
from sim.compiled.jit import FAST_PARALLEL, INNER, faint_exp
from sim.compiled.tiles import add_gradient, add_hessian, margins


class ChoiceAnswers(NamedTuple):
    """features (d padded, m) and offset (m,), a row an alternative not taken; choice e has the columns
    events[e]:events[e + 1] and weight[e], annotator i the choices offsets[i]:offsets[i + 1].

    tiles: numbers of the annotators that runs begin with, and the end; width: columns of the longest run, padded.
    """

    features: Any
    offset: Any
    weight: Any
    events: Any
    offsets: Any
    tiles: Any
    width: Any


class ChoiceRows(NamedTuple):
    """Room for one run: chances (K, width) of the alternatives, scores (K, width) of the choices, scratch (7, width),
    means (d padded, width)."""

    chances: Any
    scores: Any
    scratch: Any
    means: Any


@njit(**INNER)
def choice_score(z, chance):
    """-log(1 + sum_j e^-z_j) of one choice; chance (J - 1,): of the alternatives not taken."""
    low = 0.0
    for j in range(z.size):
        low = min(low, z[j])
    total = faint_exp(low)
    for j in range(z.size):
        chance[j] = faint_exp(low - z[j])
    for j in range(z.size):
        total += chance[j]
    for j in range(z.size):
        chance[j] /= total
    return low - np.log(total)


@njit(**INNER)
def _scores(answers, first_event, last_event, theta, z, chances, scores):
    """Weighted log-likelihoods of these choices under one theta, and the chances of what was not taken."""
    events = answers.events
    lo, hi = events[first_event], events[last_event]
    margins(answers.features, lo, hi, theta, z)
    for c in range(hi - lo):
        z[c] += answers.offset[lo + c]
    for e in range(first_event, last_event):
        a, b = events[e] - lo, events[e + 1] - lo
        scores[e - first_event] = answers.weight[e] * choice_score(z[a:b], chances[a:b])


@njit(**INNER)
def _curve(answers, first_event, last_event, shares, chances, rows, gradient, hessian):
    """Add gradient and Hessian of -sum of shares x log-likelihoods, sum_j p_j x_j x_j' - m m' with m = sum_j p_j x_j a
    choice; shares (choices of the run,) are weights times responsibilities."""
    features, events = answers.features, answers.events
    lo, hi = events[first_event], events[last_event]
    slope, curvature, outer, scratch = rows.scratch[0], rows.scratch[1], rows.scratch[2], rows.scratch[3:7]
    several = False
    for e in range(first_event, last_event):
        a, b, share = events[e] - lo, events[e + 1] - lo, shares[e - first_event]
        outer[e - first_event] = 0.0
        if b - a == 1:
            slope[a] = -share * chances[a]
            curvature[a] = share * chances[a] * (1.0 - chances[a])
            continue
        several = True
        outer[e - first_event] = -share
        for c in range(a, b):
            slope[c] = -share * chances[c]
            curvature[c] = share * chances[c]
    add_gradient(features, lo, hi, slope, gradient)
    add_hessian(features, lo, hi, curvature, scratch, hessian)
    if not several:
        return
    means = rows.means
    for j in range(features.shape[0]):
        row, mean = features[j, lo:hi], means[j]
        for e in range(first_event, last_event):
            total = 0.0
            for c in range(events[e] - lo, events[e + 1] - lo):
                total += chances[c] * row[c]
            mean[e - first_event] = total
    add_hessian(means, 0, last_event - first_event, outer, scratch, hessian)


@njit(**INNER)
def _posterior(answers, i, first_event, types, hard, rows, sums):
    """Annotator i's new responsibilities, her likelihood, and both qualities; see `em_pass`."""
    offsets, gamma, proposal = answers.offsets, types.gamma, types.proposal
    K = gamma.shape[1]
    highest, best = -np.inf, 0
    for k in range(K):
        total = 0.0
        own = rows.scores[k, offsets[i] - first_event : offsets[i + 1] - first_event]
        for c in range(own.size):
            total += own[c]
        sums.quality[0, k] += gamma[i, k] * total
        proposal[i, k] = total
        if total + types.log_mixture[k] > highest:
            highest, best = total + types.log_mixture[k], k
    norm = 0.0
    for k in range(K):
        norm += faint_exp(proposal[i, k] + types.log_mixture[k] - highest)
    sums.likelihood[0] += highest + np.log(norm)
    for k in range(K):
        total = proposal[i, k]
        share = faint_exp(total + types.log_mixture[k] - highest) / norm
        if hard:
            share = 1.0 if k == best else 0.0
        proposal[i, k] = share
        sums.quality[1, k] += share * total


@njit(**INNER)
def _tile(answers, first, last, types, fixed, hard, rows, sums):
    """Annotators first..last-1: scores, posteriors, then the sums with their new responsibilities (or, with `fixed`,
    with those they have)."""
    first_event, last_event = answers.offsets[first], answers.offsets[last]
    K = types.theta.shape[0]
    for k in range(K):
        _scores(answers, first_event, last_event, types.theta[k], rows.scratch[0], rows.chances[k], rows.scores[k])
    for i in range(first, last):
        _posterior(answers, i, first_event, types, hard, rows, sums)
    for k in range(K):
        shares, total = rows.scores[k], 0.0
        for i in range(first, last):
            own = types.gamma[i, k] if fixed else types.proposal[i, k]
            a, b = answers.offsets[i], answers.offsets[i + 1]
            weight, share = answers.weight[a:b], shares[a - first_event : b - first_event]
            for e in range(weight.size):
                share[e] = own * weight[e]
            for e in range(weight.size):
                total += own * weight[e]
        sums.mass[k] += total
        _curve(answers, first_event, last_event, shares, rows.chances[k], rows, sums.gradient[k], sums.hessian[k])


@njit(**INNER)
def _some_tiles(answers, lo_tile, hi_tile, types, fixed, hard, sums):
    (K, d), width = types.theta.shape, answers.width
    rows = ChoiceRows(np.empty((K, width)), np.empty((K, width)), np.empty((7, width)), np.empty((d, width)))
    sums.gradient[:] = 0.0
    sums.hessian[:] = 0.0
    sums.mass[:] = 0.0
    sums.quality[:] = 0.0
    sums.likelihood[0] = 0.0
    for tile in range(lo_tile, hi_tile):
        _tile(answers, answers.tiles[tile], answers.tiles[tile + 1], types, fixed, hard, rows, sums)


@njit(**INNER)
def serial_choice_pass(answers, types, fixed, hard, gradient, hessian, mass, quality, likelihood):
    """Every tile, in order."""
    sums = Sums(gradient, hessian, mass, quality, likelihood)
    _some_tiles(answers, 0, answers.tiles.size - 1, types, fixed, hard, sums)


@njit(**FAST_PARALLEL)
def parallel_choice_pass(answers, types, fixed, hard, gradient, hessian, mass, quality, likelihood):
    """The serial pass over fixed chunks of tiles, summed in order: same bits for any number of threads."""
    K, d = types.theta.shape
    n_tiles = answers.tiles.size - 1
    part_g, part_h = np.empty((CHUNKS, K, d)), np.empty((CHUNKS, K, d, d))
    part_m, part_q, part_l = np.empty((CHUNKS, K)), np.empty((CHUNKS, 2, K)), np.empty((CHUNKS, 1))
    for chunk in prange(CHUNKS):
        part = Sums(part_g[chunk], part_h[chunk], part_m[chunk], part_q[chunk], part_l[chunk])
        _some_tiles(
            answers, chunk * n_tiles // CHUNKS, (chunk + 1) * n_tiles // CHUNKS, types, fixed, hard, part
        )  # fmt: skip
    gradient[:] = 0.0
    hessian[:] = 0.0
    mass[:] = 0.0
    quality[:] = 0.0
    likelihood[0] = 0.0
    for chunk in range(CHUNKS):
        gradient += part_g[chunk]
        hessian += part_h[chunk]
        mass += part_m[chunk]
        quality += part_q[chunk]
        likelihood[0] += part_l[chunk, 0]
