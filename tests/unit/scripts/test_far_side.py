"""A network at the far end of a cable: it loses each way by itself, and a run that is killed leaves nothing of it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.chain.processes import ProcessTable
from scripts.chain.waiting import wait_until
from scripts.trouble.far_side import FarSide
from scripts.trouble.scenario import LackingError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault_tolerance

PATIENCE_S = 20
CLONE_NEWNET = 0x40000000
ROOT = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
from scripts.chain.processes import ProcessTable
from scripts.trouble.far_side import FarSide

folder = Path(sys.argv[1])
processes = ProcessTable(folder / "processes.json", folder / "logs")
far = FarSide(lambda command: processes.start(command, name="far"))
print(far.cable, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarSide]:
    with ProcessTable(tmp_path / "processes.json", tmp_path / "logs") as processes:
        try:
            made = FarSide(lambda command: processes.start(command, name="far"))
        except LackingError as error:
            pytest.skip(error.message)
        yield made
        made.close()


def cables() -> set[str]:
    """The interfaces of this process's own network; /sys may be that of another."""
    return {name for _, name in socket.if_nameindex()}


def socket_at(address: str, namespace: str | None = None) -> socket.socket:
    """Bind a socket of datagrams to an address, in a namespace: there it stays."""
    found: list[socket.socket] = []

    def make() -> None:
        # This thread alone goes there.
        if namespace is not None:
            file = os.open(namespace, os.O_RDONLY)
            assert ctypes.CDLL(None).setns(file, CLONE_NEWNET) == 0
            os.close(file)
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, 0))
        made.settimeout(PATIENCE_S)
        found.append(made)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    (made,) = found
    return made


def heard(by: socket.socket) -> list[bytes]:
    """Return what came, up to the last word. Nothing overtakes on a cable, so what did not come by then is lost."""
    words = []
    while (word := by.recv(100)) != b"last":
        words.append(word)
    return words


@pytest.mark.parametrize(("inwards", "outwards"), [(True, False), (False, True), (True, True), (False, False)])
def test_what_is_cut_is_lost_and_the_other_way_goes_on(far: FarSide, inwards: bool, outwards: bool) -> None:
    with socket_at(far.near) as near, socket_at(far.far, far.namespace) as there:
        ways = ((near, there), (there, near))
        for lost in (False, True):
            far.cut(inwards=lost and inwards, outwards=lost and outwards)
            for number in range(3):
                for sender, receiver in ways:
                    # It leaves without an error: who sends it learns nothing.
                    assert sender.sendto(f"{lost} {number}".encode(), receiver.getsockname()) > 0
        far.heal()
        for sender, receiver in ways:
            sender.sendto(b"last", receiver.getsockname())
        through = [f"False {number}".encode() for number in range(3)]
        cut = [f"True {number}".encode() for number in range(3)]
        assert heard(there) == (through if inwards else through + cut)
        assert heard(near) == (through if outwards else through + cut)


def test_a_run_that_is_killed_leaves_nothing(far: FarSide, tmp_path: Path) -> None:
    far.heal()
    run = subprocess.run(
        [sys.executable, "-P", "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert run.stdout.startswith("inv")
    assert far.cable in cables()
    assert wait_until(lambda: run.stdout.strip() not in cables(), timeout_s=PATIENCE_S)


def test_where_it_is_not_allowed_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LackingError, match="needs Linux, and ip, nsenter, unshare"):
        FarSide(lambda _: pytest.fail("nothing is started"))
