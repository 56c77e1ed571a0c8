"""The methods that come with the package, one file each, and how others are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.code_in_memory import code_digest
from sim.errors import InputError, short
from sim.fitting.method import Method
from sim.plugins import Door

_OURS = {
    "dpo": "dpo:DPO",
    "em-dpo": "em_dpo:EMDPO",
    "cluster-dpo": "cluster_dpo:ClusterDPO",
    "dpo-equal-weights": "dpo:DPOEqualWeights",
    "pooled": "pooled:Pooled",
    "personal": "personal:Personal",
    "shared": "shared:Shared",
    "cluster": "cluster:Cluster",
    "low-rank": "low_rank:LowRank",
    # Other people's recipes, to be held against.
    "group-dpo": "group_dpo:GroupDPO",
    "maxmin-rlhf": "maxmin_rlhf:MaxMinRLHF",
    "pal": "pal:PAL",
    "pal-distance": "pal_distance:PALDistance",
    "vpl": "vpl:VPL",
    "vpl-encoder": "vpl_encoder:VPLEncoder",
}
# Loaded when first asked for; one is only scored beside others.
METHODS = Door(
    "method",
    {name: f"sim.fitting.methods.{place}" for name, place in _OURS.items()},
    hidden=("dpo-equal-weights",),
)
# What stands before the digest of a method that was given as it is, of the code that it had in memory.
_GIVEN = "given:"
# What a method has to say for itself.
VERBS = ("grid", "fit", "log_likelihood", "adapt", "describe", "parameters", "restore")
# And what it may say beside, of these kinds.
_KINDS: dict[str, Any] = {"name": str, "title": str, "beside": tuple, "rivals": tuple, "per_annotator": tuple}
# Names of what is scored beside methods without being one of them.
TAKEN = ("coin", "length", "full-rank", "popularity", "low-rank-on-popularity", "shared-network")


def find_method(name: str, folder: str | Path | None = None) -> Method[Any]:
    """An instance of our method `name`, of an installed package's, or of one's own as module:NAME (a class, or an
    instance).

    folder: where a module is looked for first; None: the working directory.
    Errors: InputError where there is none, or where it leaves one of a method's verbs unsaid.
    """
    found = METHODS.find(name, folder)
    method: Method[Any] = found() if isinstance(found, type) else found
    return method if METHODS.is_ours(name) else checked(method, name)


def checked(method: Method[Any], name: str) -> Method[Any]:
    """A method that is not ours, if it says all that a method has to.  InputError."""
    if Method not in type(method).__mro__:
        raise InputError(f"method: {name} is not a method", fix="subclass sim.fitting.method.Method")
    for verb in VERBS:
        if getattr(type(method), verb) is getattr(Method, verb):
            raise InputError(f"method: {name} does not say how to {verb.replace('_', ' ')}", fix=f"define {verb}")
    for field, kind in _KINDS.items():
        found: Any = getattr(method, field, kind())
        if not isinstance(found, kind):
            expected = "a text" if kind is str else "a tuple of texts"
            raise InputError(f"method: {name}: expected {expected} as its {field}, got {short(found)}")
        if kind is tuple and not all(isinstance(one, str) for one in found):
            raise InputError(f"method: {name}: expected a tuple of texts as its {field}")
    if not getattr(method, "name", ""):
        type(method).name = type(method).__name__
    if method.name in METHODS.ours or method.name in TAKEN:
        raise InputError(f"method: {name} has the name '{method.name}' of one of ours", fix="give it another name")
    return method


def code_of(name: str, given: Method[Any] | None = None) -> str | None:
    """What a fit keeps of the state that its method was in: of the sources of a name, nothing for one of ours; of one
    that was given as it is, of its code and its attributes in memory."""
    return METHODS.sources(name).digest or None if given is None else _GIVEN + code_digest(given)


def has_changed(name: str, kept: str | None) -> bool:
    """Whether the method of that name is in another state now than `code_of` kept."""
    given = kept is not None and kept.startswith(_GIVEN)
    return code_of(name, find_method(name) if given else None) != kept
