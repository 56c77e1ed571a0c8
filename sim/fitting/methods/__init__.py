"""The methods that come with the package, one file each, and how others are found."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from sim.errors import InputError
from sim.fitting.method import Method

# name -> module and class; loaded when first asked for.
METHODS = {
    "dpo": "dpo:DPO",
    "em-dpo": "em_dpo:EMDPO",
    "cluster-dpo": "cluster_dpo:ClusterDPO",
    "dpo-equal-weights": "dpo:DPOEqualWeights",
    "pooled": "pooled:Pooled",
    "personal": "personal:Personal",
    "shared": "shared:Shared",
    "cluster": "cluster:Cluster",
    "low-rank": "low_rank:LowRank",
}
# What a method has to say for itself.
VERBS = ("grid", "fit", "log_likelihood", "adapt", "describe", "parameters", "restore")
# Only scored beside others.
HIDDEN = ("dpo-equal-weights",)
NAMES = tuple(name for name in METHODS if name not in HIDDEN)


def find_method(name: str) -> Method[Any]:
    """An instance of our method `name`, or of one's own as module:NAME (a class, or an instance)."""
    if name in METHODS:
        module, _, attribute = METHODS[name].partition(":")
        found = getattr(importlib.import_module(f"sim.fitting.methods.{module}"), attribute)
        return found()  # type: ignore[no-any-return]
    if ":" not in name:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(NAMES)}, or give module:NAME"
        raise InputError(f"method: there is none called '{name}'", fix=hint)
    return _foreign(name)


def _foreign(name: str) -> Method[Any]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise InputError(f"method: module '{module}' cannot be imported ({error})", fix="check its name") from error
    except AttributeError as error:
        raise InputError(f"method: module '{module}' has no '{attribute}'", fix="check its name") from error
    method: Method[Any] = found() if isinstance(found, type) else found
    if Method not in type(method).__mro__:
        raise InputError(f"method: {name} is not a method", fix="subclass sim.fitting.method.Method")
    for verb in VERBS:
        if getattr(type(method), verb) is getattr(Method, verb):
            raise InputError(f"method: {name} does not say how to {verb.replace('_', ' ')}", fix=f"define {verb}")
    if not getattr(method, "name", ""):
        type(method).name = attribute
    if method.name in METHODS:
        raise InputError(f"method: {name} has the name '{method.name}' of a method of ours", fix="give it another name")
    return method
