"""Which papers and claims there are: what the packages beside this one declare, and what others bring."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.plugins import Door, blaming, looking_in
from theory.engine.identity import identity
from theory.engine.paper import Paper
from theory.engine.required import require_bound, require_controls, require_variants
from theory.engine.theorem import Origin, Theorem

# Others' claims: module:NAME of a claim (a class or an instance) or of a sequence of them; ours are found by name.
CLAIMS = Door("claim", {})
_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")


@cache
def papers(root: str = "theory") -> dict[str, Paper]:
    """name -> paper, in the order of their places: every package in `root` that declares a `PAPER`."""
    packages = (m.name for m in pkgutil.iter_modules(importlib.import_module(root).__path__) if m.ispkg)
    declared = [getattr(importlib.import_module(f"{root}.{name}"), "PAPER", None) for name in packages]
    found = sorted((p for p in declared if isinstance(p, Paper)), key=lambda paper: (paper.place, paper.name))
    return {paper.name: paper for paper in found}


@cache
def theorems_of(paper: str) -> tuple[Theorem[Any], ...]:
    """Every theorem of a paper, in the order of its modules and of `THEOREMS` in each."""
    package = importlib.import_module(f"theory.{paper}")
    found: list[Theorem[Any]] = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        found += getattr(importlib.import_module(f"theory.{paper}.{module.name}"), "THEOREMS", ())
    return tuple(found)


def all_theorems() -> tuple[Theorem[Any], ...]:
    return tuple(theorem for paper in papers() for theorem in theorems_of(paper))


def find(claim_id: str) -> Theorem[Any]:
    """The theorem of that name, or an error with the nearest one."""
    known = {theorem.claim_id: theorem for theorem in all_theorems()}
    if claim_id in known:
        return known[claim_id]
    near = difflib.get_close_matches(claim_id, [*known, *papers(), *CLAIMS.names()], n=1)
    beside = Path(f"{claim_id.removesuffix('.py')}.py")
    if beside.is_file() and not near:
        raise InputError(f"no claim or paper '{claim_id}'", fix=f"for claims of {beside}: {beside.stem}:CLAIMS")
    hint = f"did you mean '{near[0]}'?" if near else "`pluralign list` names them; others' are module:NAME"
    raise InputError(f"no claim or paper '{claim_id}'", fix=hint)


def select(names: Sequence[str], folder: str | Path | None = None) -> tuple[Theorem[Any], ...]:
    """Theorems of the named papers and claims, each once; all of ours if nothing is named.

    names: papers, claims, names that installed packages give, module:NAME.  folder: where modules are looked for
    first; None: the working directory.
    """
    if not names:
        return all_theorems()
    found: list[Theorem[Any]] = []
    for name in dict.fromkeys(names):
        if name in papers():
            CLAIMS.require_one(name, f"theory.{name}")
            found += theorems_of(name)
        elif ":" in name or name in CLAIMS.names():
            for own in (own for own in all_theorems() if own.claim_id == name):
                CLAIMS.require_one(name, _class_of(own))
            found += others(name, folder)
        else:
            found.append(find(name))
    return once(found)


def once(theorems: Iterable[Theorem[Any]]) -> tuple[Theorem[Any], ...]:
    """Each claim once, in the order of their first places.

    Errors: InputError for two that are called the same and are not: one of them would not be checked.
    """
    chosen: dict[str, Theorem[Any]] = {}
    for theorem in theorems:
        before = chosen.setdefault(theorem.claim_id, theorem)
        if not same(before, theorem):
            what = "of two classes" if type(before) is not type(theorem) else "with other SETTINGS or another state"
            one, other = (_class_of(own) for own in (before, theorem))
            places = f"{one} and {other}" if one != other else one
            raise InputError(
                f"two claims are called '{theorem.claim_id}', {what} ({places})", fix="give one another claim_id"
            )
    return tuple(chosen.values())


def _class_of(theorem: Theorem[Any]) -> str:
    kind = f"{type(theorem).__module__}:{type(theorem).__qualname__}"
    folder = None if theorem.origin is None else theorem.origin.folder
    return kind if folder is None or folder == Path.cwd() else f"{kind} of {folder}"


def same(one: Theorem[Any], other: Theorem[Any]) -> bool:
    """Whether to check both would be to check one twice: they are of one class, and say and hold the same."""
    if one is other:
        return True
    if type(one) is not type(other) or stated(one) != stated(other):
        return False
    own, others_own = _state(one), _state(other)
    return all(own[name] is others_own.get(name) for name in own if _told(own[name]) is None)


def stated(theorem: Theorem[Any]) -> str:
    """Its variants and what it holds itself as a text, the same in every process."""
    variants = {
        name: (variant.setting.key(), str(variant.expected), variant.statement, variant.attained)
        for name, variant in theorem.SETTINGS.items()
    }
    return repr((variants, {name: _told(value) for name, value in sorted(_state(theorem).items())}))


def _state(theorem: Theorem[Any]) -> dict[str, object]:
    return {name: value for name, value in vars(theorem).items() if name not in ("origin", "SETTINGS")}


def _told(value: object) -> str | None:
    """None: it has no identity but its own."""
    try:
        return identity(value)
    except InputError:
        return None


def ours(theorem: Theorem[Any]) -> bool:
    """Whether a worker that looks for its name finds this one, of the papers here."""
    return any(same(own, theorem) for own in all_theorems() if own.claim_id == theorem.claim_id)


@contextmanager
def answering(theorem: Theorem[Any]) -> Iterator[None]:
    """What a claim that is not ours raises while it is asked, as one line that says where; of ours it is a fault of
    ours, and raised as it is."""
    if theorem.origin is None and theorem.paper in papers() and ours(theorem):
        yield
        return
    folder = None if theorem.origin is None else theorem.origin.folder
    with looking_in(folder), blaming(f"claim '{theorem.claim_id}'"):
        yield


def others(name: str, folder: str | Path | None = None) -> tuple[Theorem[Any], ...]:
    """The claims that `name`, module:NAME or an installed package's, stands for.

    Errors: InputError where these are no claims, or where one leaves out what a check rests on.
    """
    found = CLAIMS.find(name, folder)
    listed = found if isinstance(found, Sequence) else (found,)
    origin = Origin(name, Path.cwd() if folder is None else Path(folder), CLAIMS.sources(name, folder).digest)
    if not listed:
        raise InputError(f"claim '{name}': is an empty sequence", fix="put claims into it")
    return tuple(_checked(one, name, origin) for one in listed)


def again(claim_id: str, origin: Origin | None) -> Theorem[Any]:
    """The claim for a worker; one that is not ours must still have the sources the run began with."""
    if origin is None:
        return find(claim_id)
    CLAIMS.find_unchanged(origin.place, origin.folder, origin.digest)
    found = next(theorem for theorem in others(origin.place, origin.folder) if theorem.claim_id == claim_id)
    if stated(found) != origin.stated:
        raise InputError(
            f"claim '{claim_id}': {origin.place} has other SETTINGS or another state than what was to be checked",
            fix="change them in the module, or give the claim itself and not its name",
        )
    return found


def checked(theorem: Any, name: str) -> Theorem[Any]:
    """A claim, given as an instance or a class, that says all that a check rests on.

    Errors: InputError that names what is missing.
    """
    with blaming(f"claim '{name}'"):
        one = theorem() if isinstance(theorem, type) and issubclass(theorem, Theorem) else theorem
    if not isinstance(one, Theorem):
        what = f"the {one.__name__} class" if isinstance(one, type) else f"a {type(one).__name__}"
        raise InputError(f"claim '{name}': expected a Theorem or a sequence of them, got {what}",
                         fix="subclass theory.engine.theorem.Theorem")  # fmt: skip
    for field in ("claim_id", "paper", "source", "statement", "SETTINGS"):
        # Of another kind than a text or a mapping it may not even say whether it is empty.
        if not isinstance(value := getattr(one, field, None), str | Mapping) or not value:
            raise InputError(f"claim '{name}': {type(one).__name__} does not give its {field}", fix=f"write {field}")
    if not _NAME.fullmatch(one.claim_id):
        raise InputError(
            f"claim '{name}': claim_id must be small letters, digits and hyphens (got '{one.claim_id}')",
            fix="it names files",
        )
    if any(one.claim_id == own.claim_id for own in all_theorems() if type(own) is not type(one)):
        raise InputError(f"claim '{name}': '{one.claim_id}' is a claim of ours", fix="give it another claim_id")
    settings: Any = one.SETTINGS
    if not isinstance(settings, Mapping):
        given = type(settings).__name__
        raise InputError(f"claim '{one.claim_id}': SETTINGS must map names of variants to Variant (got {given})")
    require_variants(one)
    for variant, own in one.SETTINGS.items():
        with blaming(f"claim '{one.claim_id}': bound"):
            bound = one.bound(own.setting)
        require_bound(one, bound)
        with blaming(f"claim '{one.claim_id}': control"):
            controls = one.control(own.setting)
        require_controls(one, controls)
        if not controls:
            raise InputError(
                f"claim '{one.claim_id}': {variant} has no control",
                fix="a check that nothing can fail shows nothing: give a broken version that must be caught",
            )
    return one


def _checked(theorem: Any, name: str, origin: Origin) -> Theorem[Any]:
    one = checked(theorem, name)
    one.origin = replace(origin, stated=stated(one))
    return one
