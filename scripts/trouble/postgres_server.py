"""A PostgreSQL of a fault's own, which may be killed. The one of `--central-url` is somebody else's."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.chain.broker import free_port
from scripts.chain.waiting import wait_until
from scripts.trouble.scenario import LackingError, OtherwiseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.chain.processes import Child

_DEBIAN = "/usr/lib/postgresql/*/bin/postgres"
_USER = "postgres"
LOOPBACK = "127.0.0.1"
_STARTS_S = 60.0
_ENDS_S = 20.0
# An orderly, quick end: whoever is connected is cut off.
_QUICK_END = signal.SIGINT


class PostgresServer:
    """One cluster, in a folder of its own."""

    def __init__(self, folder: Path, start: Callable[[list[str]], Child], host: str = LOOPBACK) -> None:
        """Make the cluster in a new folder, and start its server by `start`, which takes a command, at an address.

        Raises LackingError where this machine has no such server, or does not let it run.
        """
        binary = _binary()
        self._start = start
        self._folder = folder.resolve()
        self._folder.mkdir()
        # The server refuses to run as root.
        self._as_user = _as_another_user(self._folder) if os.geteuid() == 0 else []
        made = subprocess.run(
            [*self._as_user, str(binary.with_name("initdb")), "-D", str(self._folder), "-U", _USER, "--auth=trust"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if made.returncode != 0:
            raise OtherwiseError(f"no cluster of PostgreSQL can be made: {made.stderr.strip()[-300:]}")
        self._host, self._port = host, free_port()
        with (self._folder / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            # It listens there alone.
            rules.write("host all all samenet trust\n")
        self._binary = binary
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"postgresql://{_USER}@{self._host}:{self._port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers: after a kill it first replays its log."""
        # No socket in a folder: its path may be too long for one.
        listens = [f"listen_addresses={self._host}", f"port={self._port}", "unix_socket_directories="]
        settings = [word for each in listens for word in ("-c", each)]
        self._server = self._start([*self._as_user, str(self._binary), "-D", str(self._folder), *settings])
        if not wait_until(self._answers, timeout_s=_STARTS_S, every_s=0.1):
            raise OtherwiseError(f"PostgreSQL does not answer: {self._server.log_tail(3)}")

    def kill(self) -> None:
        """Kill all of its processes (-9)."""
        for pid in self.pids():
            # The helpers end by themselves once the server is gone.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._until_gone()

    def close(self) -> None:
        """End it in order."""
        if self._server.alive():
            os.kill(self._server.pid, _QUICK_END)
        self._until_gone()

    def _until_gone(self) -> None:
        if not wait_until(lambda: not self.pids() and not self._server.alive(), timeout_s=_ENDS_S):
            raise OtherwiseError(f"PostgreSQL does not end: {self._server.log_tail(3)}")

    def _answers(self) -> bool:
        ready = self._binary.with_name("pg_isready")
        asked = subprocess.run(
            [str(ready), "-q", "-h", self._host, "-p", str(self._port), "-U", _USER], check=False, cwd="/"
        )
        return asked.returncode == 0

    def pids(self) -> list[int]:
        """Return the server and its helpers: all work in the cluster's folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink() == self._folder:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


def _binary() -> Path:
    on_path = [Path(found).resolve()] if (found := shutil.which("postgres")) else []
    # Debian keeps them out of the PATH, a folder for each version.
    found_all = [*on_path, *sorted(Path("/").glob(_DEBIAN.removeprefix("/")), reverse=True)]
    if not found_all or not Path("/proc/self/cwd").exists():
        raise LackingError("needs the binaries of a PostgreSQL server, and Linux")
    return found_all[0]


def _as_another_user(folder: Path) -> list[str]:
    """Give a folder to the server's own user, and return what runs a command as that one."""
    setpriv = shutil.which("setpriv")
    try:
        user = pwd.getpwnam(_USER)
    except KeyError:
        user = None
    if setpriv is None or user is None:
        raise LackingError(f"PostgreSQL does not run as root: needs a user {_USER}, and setpriv")
    os.chown(folder, user.pw_uid, user.pw_gid)
    # Enough to go through the run's folder; there is nothing secret in it, and it cannot be listed.
    folder.parent.chmod(0o711)
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # To become another user clears the signal at a parent's death.
    as_user = [setpriv, *ids, "--pdeathsig=SIGKILL"]
    if subprocess.run([*as_user, "test", "-w", str(folder)], check=False, cwd="/").returncode != 0:
        raise LackingError(f"user {_USER}, as whom PostgreSQL runs, cannot enter {folder.parent}")
    return as_user
