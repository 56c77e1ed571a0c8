"""A real Dask scheduler with worker processes on the loopback, with TLS by certificates made on the spot."""

import re
import subprocess
import sys
import threading
from pathlib import Path

from places import ROOT
from study_processes import PATIENCE


def certificate(folder: Path) -> tuple[Path, Path, Path]:
    """(authority, certificate, key): self-signed, so that the certificate is its own authority."""
    folder.mkdir(exist_ok=True)
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(cert), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, cert, key


class Cluster:
    """`with Cluster(2) as cluster`: address, and its processes."""

    def __init__(self, workers: int, tls: tuple[Path, Path, Path] | None = None) -> None:
        self._count, self._tls = workers, tls
        self.workers: list[subprocess.Popen] = []
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> "Cluster":
        self.scheduler = self._start(
            "scheduler", "--host", f"{'tls' if self._tls else 'tcp'}://127.0.0.1", "--port", "0", "--no-dashboard"
        )
        self.address = self._said(self.scheduler, r"Scheduler at:\s+(t\S+)")
        for _ in range(self._count):
            self.workers.append(
                self._start("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host",
                            "127.0.0.1", "--death-timeout", "20")
            )  # fmt: skip
        for worker in self.workers:
            self._said(worker, r"(Registered to)")
        return self

    def __exit__(self, *_) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        for reader in self._readers:
            reader.join()
        for process in (*self.workers, self.scheduler):
            process.stderr.close()

    def _start(self, what: str, *words: str) -> subprocess.Popen:
        tls = []
        if self._tls:
            ca, cert, key = map(str, self._tls)
            tls = ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + what, *words, *tls], stderr=subprocess.PIPE, text=True,
            cwd=ROOT,
        )  # fmt: skip
        watch = threading.Timer(2 * PATIENCE, process.kill)
        watch.daemon = True
        watch.start()
        return process

    def _said(self, process: subprocess.Popen, pattern: str) -> str:
        """Waits for a line of its log; what follows is read too, so that it never waits for a reader."""
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(pattern, line):
                self._readers.append(threading.Thread(target=lambda: list(process.stderr), daemon=True))
                self._readers[-1].start()
                return found[1]
        raise AssertionError("".join(lines))
