"""Two plug-ins of one name: neither is taken silently, and one sentence names both places."""

import sys

import pytest
from opposed import opposed_types
from own_modules_text import sums_module

import pluralign as pl
from sim import plugins
from sim.algorithms.rules import find_rule
from sim.converters.converter import CONVERTERS
from sim.environments.registry import ENVIRONMENTS
from sim.errors import InputError
from sim.fitting.methods import METHODS
from sim.studies.registry import EXPERIMENTS
from theory.engine.registry import CLAIMS, select

CACHES = (plugins._installed, plugins._entries, plugins._is_offered)


def _offer(folder, package, *lines):
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for cache in CACHES:
        cache.cache_clear()
    yield tmp_path
    for cache in CACHES:
        cache.cache_clear()


@pytest.mark.parametrize("door", [METHODS, EXPERIMENTS, CONVERTERS, ENVIRONMENTS, CLAIMS], ids=lambda door: door.kind)
def test_of_two_packages(folder, door):
    for package in ("first", "second"):
        _offer(folder, package, f"[{door.group}]", f"mine = {package}:THING", "alike = both:THING")
    with pytest.raises(InputError, match=f"^{door.kind}: two are called 'mine', first:THING of package first and "
                       "second:THING of package second; give module:NAME of the one that is meant$"):  # fmt: skip
        door.find("mine")
    assert door.names().count("mine") == 1
    assert door.place("alike") == "both:THING"


@pytest.mark.parametrize("door", [METHODS, EXPERIMENTS, CONVERTERS, ENVIRONMENTS], ids=lambda door: door.kind)
def test_of_a_package_and_of_ours(folder, door):
    name = door.names()[0]
    _offer(folder, "theirs", f"[{door.group}]", f"{name} = theirs:THING")
    for cache in CACHES:
        cache.cache_clear()
    message = f"^{door.kind}: two are called '{name}', sim.* of this program and theirs:THING of package theirs"
    with pytest.raises(InputError, match=message):
        door.find(name)
    assert door.names().count(name) == 1


def test_of_a_package_and_what_ours_are_found_by_otherwise(folder):
    claim = pl.claims("low_rank")[0].claim_id
    rule = pl.axioms(trials=1).as_dict()["rules"][0]["rule"]
    _offer(folder, "theirs", "[pluralign.rules]", f"{rule} = theirs:THING", "[pluralign.claims]",
           "low_rank = theirs:THING", f"{claim} = theirs:THING")  # fmt: skip
    for cache in CACHES:
        cache.cache_clear()
    for find, name in ((find_rule, rule), (lambda name: select((name,)), "low_rank"), (lambda n: select((n,)), claim)):
        with pytest.raises(InputError, match=r"two are called .* of this program and theirs:THING of package theirs"):
            find(name)


def test_two_methods_in_one_fit(folder):
    for number in (1, 2):
        (folder / f"same_name_{number}.py").write_text(sums_module("same", f"Sums{number}"))
    names = ["same_name_1:Sums1", "same_name_2:Sums2"]
    message = "^beside: two methods are called 'same', same_name_1:Sums1 and same_name_2:Sums2; give one another name"
    table = opposed_types(groups=False)
    with pytest.raises(InputError, match=message):
        pl.fit(table, method="pooled", beside=names)
    with pytest.raises(InputError, match=message):
        pl.fit(table, method=names[0], beside=names[1])
    with pytest.raises(InputError, match="'same_name_1:Sums1' is the method itself"):
        pl.fit(table, method=names[0], beside=names[0])
    for name in ("same_name_1", "same_name_2"):
        sys.modules.pop(name, None)
