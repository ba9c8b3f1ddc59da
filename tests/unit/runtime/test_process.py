"""A daemon and its signals, as a process of its own."""

import asyncio
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

import invctl
from invctl.errors import UnreachableError
from invctl.runtime.process import run_until_signal

pytestmark = pytest.mark.fault_tolerance

PROGRAM = """
import asyncio, resource, sys, threading, time
from invctl.runtime.logs import configure
from invctl.runtime.process import run_until_signal

async def clean(stop):
    print("ready", flush=True)
    await stop.wait()
    print("clean", flush=True)

async def counting(stop):
    print("ready", flush=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(soft == hard, flush=True)

async def deaf(stop):
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("cancelled", flush=True)

async def stubborn(stop):
    print("ready", flush=True)
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("no", flush=True)

async def hanging(stop):
    print("ready", flush=True)
    threading.Event().wait()

async def lingering(stop):
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, threading.Event().wait)
    print("ready", flush=True)
    await stop.wait()

async def slow_to_end(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.Event().wait()

over = threading.Event()

async def waiting(stop):
    print("ready", flush=True)
    await asyncio.to_thread(over.wait)

log = configure("invd", fmt="json")
sys.exit(run_until_signal(globals()[sys.argv[1]], log=log, on_stop=over.set, limit_s=float(sys.argv[2])))
"""


class Daemon:
    def __init__(self, main: str, limit_s: float) -> None:
        root = str(Path(invctl.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, main, str(limit_s)],
            env={"PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.strip(), err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_cleanly(number: signal.Signals, code: int) -> None:
    daemon = Daemon("clean", 60)
    daemon.process.send_signal(number)
    returned, out, err = daemon.end()
    assert (returned, out) == (code, "clean")
    assert f'"signal": "{number.name}"' in err
    assert "Traceback" not in err


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(first: signal.Signals, second: signal.Signals) -> None:
    daemon = Daemon("slow_to_end", 600)
    daemon.process.send_signal(first)
    assert daemon.line() == "stopping"
    daemon.process.send_signal(second)
    assert daemon.end()[0] == -second


def test_what_does_not_heed_the_stop_is_cancelled() -> None:
    daemon = Daemon("deaf", 1.0)
    daemon.process.send_signal(signal.SIGTERM)
    returned, out, err = daemon.end()
    assert (returned, out) == (1, "cancelled")
    assert '"action": "process.stop_overdue"' in err


def test_what_waits_in_a_thread_is_ended_by_what_is_called() -> None:
    daemon = Daemon("waiting", 60)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.end()[0] == 0


@pytest.mark.parametrize("main", ["stubborn", "hanging", "lingering"])
def test_the_kernel_ends_what_nothing_else_can(main: str) -> None:
    daemon = Daemon(main, 0.5)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.end()[0] == -signal.SIGALRM


def test_it_may_end_by_itself_and_leaves_no_handler_behind() -> None:
    async def main(stop: asyncio.Event) -> None:
        assert signal.getsignal(signal.SIGTERM) is not before[0]

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert run_until_signal(main, log=CapturingLogger()) == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


DOWN = UnreachableError("no broker")
BUG = KeyError("x")


@pytest.mark.parametrize(
    ("together", "reported"),
    [([DOWN], DOWN), ([DOWN, UnreachableError("no database")], DOWN), ([BUG], BUG), ([DOWN, BUG], ExceptionGroup)],
)
def test_the_one_exception_that_tells_is_raised(
    together: list[Exception], reported: Exception | type[Exception]
) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def main(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(inner())

    async def inner() -> None:
        async with asyncio.TaskGroup() as group:
            for error in together:
                group.create_task(fail(error))

    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
        run_until_signal(main, log=CapturingLogger())
    assert caught.value is reported or type(caught.value) is reported
    assert caught.value.__context__ is None


def test_what_main_raises_alone_is_raised() -> None:
    async def main(stop: asyncio.Event) -> None:
        raise DOWN

    with pytest.raises(UnreachableError, match="no broker"):
        run_until_signal(main, log=CapturingLogger())


def test_main_may_set_stop_itself() -> None:
    log = CapturingLogger()

    async def main(stop: asyncio.Event) -> None:
        stop.set()
        await asyncio.to_thread(int)

    assert run_until_signal(main, log=log) == 0
    assert log.calls == []


def test_it_may_open_as_many_files_as_the_system_lets_it() -> None:
    """A daemon of many stores takes several for each; the usual limit is for programs of another kind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:
        daemon = Daemon("counting", 60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert daemon.line() == "True"
    assert daemon.end()[0] == 0
