"""A real scheduler and workers on the loopback, with TLS; an object store; shares without any scheduler."""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from itertools import pairwise

import pytest
from schedulers import Cluster, certificate
from study_processes import begun, numbers, study_file, until

from sim.errors import InputError
from sim.running.engines import Tls
from sim.studies.batches import run_batch
from sim.studies.cells import run_study
from sim.studies.folder import merge_folders, run_in_folder
from sim.studies.grid import Share, batch_of, cells_of
from sim.studies.request import Request
from sim.studies.spec import load_spec
from sim.studies.status import StudyStatus

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    file = study_file(tmp_path_factory.mktemp("plain"))
    return run_study(load_spec(file), {}, cells=file.parent / "cells", engine="local").results["value"]


def _in_background(function):
    """Its result or what it raised, when it has ended."""
    found = []

    def call():
        try:
            found.append(function())
        except InputError as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, found


def test_a_scheduler_with_tls_whose_worker_is_killed_and_which_is_then_killed_itself(tmp_path, plain):
    files = certificate(tmp_path / "own")
    file, out = study_file(tmp_path / "s", what="wait", at=(5,)), tmp_path / "o"
    with Cluster(2, files) as cluster:
        how = {"engine": "dask", "scheduler": cluster.address, "tls": tuple(map(str, files))}
        other = tuple(map(str, certificate(tmp_path / "other")))
        with pytest.raises(InputError, match="does not answer"):
            run_in_folder(tmp_path / "x", Request(str(file), **{**how, "tls": other}), {})
        thread, found = _in_background(lambda: run_in_folder(out, Request(str(file), **how), {}))
        until(lambda: len(begun(file.parent)) == 2, "both workers came to the replicate that waits")
        cluster.workers[0].kill()
        (file.parent / "go").touch()
        thread.join()
        assert found[0].run.results["value"] == plain
        assert not list((out / "cells").glob(".seen-*"))

        second = study_file(tmp_path / "t", what="wait", at=(5,))
        request = Request(str(second), **how)
        thread, found = _in_background(lambda: run_in_folder(tmp_path / "p", request, {}))
        until(lambda: len(begun(second.parent)) == 1, "the worker came to the replicate that waits")
        cluster.scheduler.send_signal(signal.SIGKILL)
        thread.join()
        assert "went away before all was done; what had finished is kept" in str(found[0])
        assert StudyStatus.read(tmp_path / "p").state == "stopped"
    (second.parent / "go").touch()
    report = run_in_folder(tmp_path / "p", Request(str(second), engine="local"), {})
    assert report.run.results["value"] == plain
    assert report.run.resumed >= 5


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path):
    spec = load_spec(study_file(tmp_path))
    batch = batch_of(spec, cells_of(spec, {})[0], {}, str(tmp_path / "cells"), mark=tmp_path / "elsewhere", last=1)
    with pytest.raises(InputError, match=f"a worker on {socket.gethostname()} does not see this folder; keep finished"):
        run_batch(batch)
    assert not (tmp_path / "cells").exists()


def test_files_of_tls_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"key\.pem: there is no such file"):
        Tls(*(certificate(tmp_path)[:2]), tmp_path / "no" / "key.pem")


@pytest.fixture(scope="module")
def bucket():
    """s3://studies of a moto server on the loopback."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    own = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up",
           "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)

    def answers():
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/studies", method="PUT")
            return urllib.request.urlopen(request, timeout=5).status == 200
        except OSError:
            return False

    try:
        until(answers, "the object store answers")
        yield "s3://studies"
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def test_an_object_store_keeps_what_is_finished(tmp_path, plain, bucket):
    """Workers put it there, a later run of another machine takes it from there; a share of what it has is no danger."""
    import s3fs

    spec, place = load_spec(study_file(tmp_path)), f"{bucket}/some/study"
    fewer = load_spec(tmp_path / "slow.yaml", ["replicates=5"])
    assert run_study(fewer, {}, cells=place, engine="local").tasks == 10
    run = run_study(spec, {}, cells=place, workers=2, engine="joblib", batch=2)
    assert (run.resumed, run.results["value"]) == (10, plain)
    names = s3fs.S3FileSystem().ls("studies/some/study", refresh=True)
    assert 4 <= len(names) < 16, "an object a batch"
    assert not any(name.endswith(".probe") for name in names)
    assert run_study(spec, {}, cells=place, engine="local").resumed == 16
    assert run_study(spec, {}, cells=place, engine="local", fresh=True).resumed == 0
    failing = load_spec(study_file(tmp_path, what="raise", at=(2,)))
    assert run_study(failing, {}, cells=place, engine="local").n_failed == 2
    out = tmp_path / "o"
    run_in_folder(out, Request(str(tmp_path / "slow.yaml"), engine="local", cells=place), {})
    assert (StudyStatus.read(out).done, StudyStatus.read(out).failed) == (14, 2)


@pytest.mark.parametrize("place", ["s3://no-such-bucket/x", "nonsense://x"])
def test_a_place_that_is_none_is_one_line_before_the_work(tmp_path, bucket, place):
    with pytest.raises(InputError, match=f"{place}: cannot be (used|written|read)"):
        run_study(load_spec(study_file(tmp_path)), {}, cells=place, engine="local")


@pytest.mark.parametrize(("of", "replicates", "cells"), [(1, 3, 2), (3, 8, 2), (7, 5, 3), (40, 5, 3)])
def test_shares_are_the_whole_once(of, replicates, cells):
    taken = []
    for number in range(1, of + 1):
        own = [(cell, replicate) for cell in range(cells)
               for replicate in range(*Share(number, of).replicates(cell, cells, replicates))]  # fmt: skip
        taken.append(own)
    everything = [(cell, replicate) for cell in range(cells) for replicate in range(replicates)]
    assert sorted(task for own in taken for task in own) == everything
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


def test_shares_put_together_are_bit_for_bit_one_run(tmp_path, plain, monkeypatch):
    file = study_file(tmp_path / "s")
    monkeypatch.chdir(file.parent)
    run_in_folder(tmp_path / "whole", Request(str(file), engine="local"), {})
    folders = [tmp_path / f"part-{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(folders, start=1):
        if number == 3:
            with pytest.raises(InputError, match=r"6 of 16 replicates are not there; not given: 3/3; name the folders"):
                merge_folders(folders[:2], tmp_path / "o", {})
        report = run_in_folder(folder, Request(str(file), engine="local", shard=(number, 3)), {})
        assert report.run.tasks in (5, 6)
        assert not (folder / "results.parquet").exists()
    report = merge_folders(folders, tmp_path / "o", {})
    assert report.run.results["value"] == plain
    assert numbers(tmp_path / "o") == numbers(tmp_path / "whole")
    assert len(list((tmp_path / "o" / "cells").iterdir())) == 1
    assert run_in_folder(tmp_path / "o", Request(str(file), engine="local"), {}).run.resumed == 16


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("engine", ["joblib", "dask"])
def test_any_number_of_workers_gives_the_same_bits(tmp_path, plain, engine, workers):
    spec = load_spec(study_file(tmp_path))
    for batch in (1, 3, None):
        run = run_study(spec, {}, cells=tmp_path / f"cells{batch}", workers=workers, engine=engine, batch=batch)
        assert run.results["value"] == plain


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "joblib", "dask"])
@pytest.mark.parametrize("what", ["raise", "nan", "hang", "die"])
def test_replicates_that_fail_on_every_engine(tmp_path, plain, engine, what):
    spec = load_spec(study_file(tmp_path, what=what, at=(3,)))
    run = run_study(spec, {}, cells=tmp_path / "cells", workers=2, engine=engine, time_out=10.0)
    assert run.n_failed == 2
    assert [v for v in run.results["value"] if v is not None] == [v for i, v in enumerate(plain) if i // 2 % 8 != 3]


@pytest.mark.slow
def test_kills_at_any_time_lose_nothing_that_was_finished(tmp_path, plain):
    """Twenty kills, each a little later than the one before; what is finished only grows."""
    from study_processes import started

    file, out = study_file(tmp_path / "s"), tmp_path / "o"
    done = [0]
    for number in range(20):
        driver = started("study", file, "--workers", 2, "--batch", 1, "--out", out)
        until(lambda: driver.poll() is not None or (out / "status.json").exists(), "it began")  # noqa: B023
        try:
            driver.wait(timeout=0.15 * number)
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        if (out / "status.json").exists():
            done.append(StudyStatus.read(out).done)
    assert all(later >= earlier for earlier, later in pairwise(done))
    assert run_in_folder(out, Request(str(file), engine="local"), {}).run.results["value"] == plain
