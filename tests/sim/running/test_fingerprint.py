"""Fingerprints see every byte a result depends on; threads are given back."""

import time
from functools import cache

import numba
import numpy as np
import pytest
from places import ROOT
from threadpoolctl import threadpool_info

from pluralign.backends import backends
from sim.errors import InputError
from sim.running import fingerprint
from sim.running.engines import run_tasks
from sim.running.fingerprint import code_fingerprint, files_of, versions
from sim.running.threads import one_thread
from sim.studies.spec import load_spec


def test_every_file_of_a_result_is_in_its_fingerprint(tmp_path, monkeypatch):
    """One byte more in any source of sim, theory or llm, in the backends' file or in a study's inputs."""
    spec = load_spec(ROOT / "sim" / "studies" / "experiments" / "bandit" / "section_5_1.yaml")
    mlp = backends().get("mlp")
    sources = (ROOT / "theory", ROOT / "llm", ROOT / "pluralign" / "backends.py", *spec.inputs)
    if mlp is not None:
        assert set(mlp.sources) == {ROOT / "llm", ROOT / "pluralign" / "backends.py"}
    assert {path.name for path in spec.inputs} == {"section_5_1.yaml", "reference.yaml"}
    files = [file for source in (fingerprint.SIM, *sources) for file in files_of(source)]
    assert set(files) >= {path for name in ("sim", "theory", "llm") for path in (ROOT / name).rglob("*.py")}
    real, changed = type(ROOT).read_bytes, {}
    # As many fingerprints as files: folders are listed once, and a file is its last bytes and the one more.
    contents = {file: real(file)[-40:] for file in files}
    monkeypatch.setattr(type(ROOT), "read_bytes", lambda path: contents[path] + changed.get(path, b""))
    monkeypatch.setattr(fingerprint, "files_of", cache(lambda source: list(files_of(source))))
    monkeypatch.setattr(fingerprint, "versions", cache(versions))
    digests = {code_fingerprint.__wrapped__(sources)}
    for file in files:
        changed.clear()
        changed[file] = b"\n"
        digests.add(code_fingerprint.__wrapped__(sources))
    assert len(digests) == len(files) + 1


def test_versions_are_part_of_it():
    assert set(versions()) >= {"python", "numpy", "scipy", "numba"}
    assert "no-such-package" not in versions("no-such-package")
    assert set(versions("click")) - set(versions()) == {"click"}
    assert code_fingerprint((), ("click",)) != code_fingerprint()


@pytest.mark.parametrize("openmp", [False, True])
def test_threads_are_given_back(openmp):
    def limits(kind):
        return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == kind}

    before, blas, others = numba.get_num_threads(), limits("blas"), limits("openmp")
    with one_thread(openmp=openmp):
        assert numba.get_num_threads() == 1
        assert set(limits("blas").values()) <= {1}
        assert set(limits("openmp").values()) <= {1} if openmp else limits("openmp") == others
    with pytest.raises(ZeroDivisionError):
        one_thread(openmp=openmp)(lambda: 1 // 0)()
    assert numba.get_num_threads() == before
    assert (limits("blas"), limits("openmp")) == (blas, others)


def test_engines_speak_of_arguments():
    with pytest.raises(InputError, match=r"workers must be at least 1 \(got 0\)"):
        run_tasks(abs, [1], workers=0)
    with pytest.raises(InputError, match=r"engine must be one of local, joblib, dask \(got 'mpi'\)"):
        run_tasks(abs, [1, 2], workers=2, engine="mpi")


def _grown(index):
    """Takes more than joblib lets a worker grow by, and is in no hurry, so that it looks."""
    _HELD.append(np.ones(60_000_000))
    time.sleep(0.3)
    return index


_HELD = []


def test_a_worker_that_has_grown_is_replaced_without_a_word():
    """With warnings as errors, as here, the run would stand still for ever."""
    pytest.importorskip("psutil")
    assert run_tasks(_grown, list(range(8)), workers=2) == list(range(8))
