"""The whole system at work on this machine: a broker, three stores, head office, and clerks."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections import Counter, deque
from functools import partial
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

from typer import Context, Exit, Option

from invctl.clock import SystemClock
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.errors import InvalidValueError, InventoryError
from scripts.chain.broker import start_broker
from scripts.chain.catalogue import catalogue
from scripts.chain.command import A_SEED, run_script
from scripts.chain.folder import ChainFolder
from scripts.chain.kills import WHAT_TO_KILL, Killer, ours_to_kill, refuse_idle_seed, told_seed
from scripts.chain.leftovers import clear_and_tell
from scripts.chain.processes import stop_together
from scripts.chain.runner import ROOT, ChainRunner
from scripts.chain.verdict import ask_for_proof, holds, print_proof
from scripts.chain.workspace import Workspace
from scripts.seed import seed_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from invctl.console.output import Output
    from scripts.chain.broker import Broker

RATE_EACH = 9.0
CLERK = "clerk"
TICK_S = 0.05
LOOK_EVERY_S = 0.25
LATEST_KEPT = 3
CLERKS_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 60.0
SECONDS_MAX = 1e6


class Demo:
    """One run, in its workspace."""

    def __init__(self, workspace: Workspace, out: Output, broker: Broker) -> None:
        """Seed the stores."""
        self._workspace = workspace
        self._out = out
        self._broker = broker
        self.chain = ChainFolder(workspace.path)
        self.homes = [self._seeded(number) for number in range(3)]
        self.latest: deque[str] = deque(maxlen=LATEST_KEPT)
        self.runner = ChainRunner(self.chain, workspace.processes, broker, f"demo-{secrets.token_hex(4)}", say=self.say)
        self.killer = Killer(self.runner.supervisor, (), 0)
        self._began_s = time.monotonic()
        # On a screen of its own, talk would be overwritten at once.
        self.screened = False

    def start(self) -> None:
        """Start head office, the daemons and the clerks."""
        self.runner.start_central()
        for home in self.homes:
            self.runner.start_courier(home.name, [home])
        self.runner.wait_for_links()
        for number, home in enumerate(self.homes):
            command = [sys.executable, "-P", "-m", "scripts.chain.clerks", str(home)]
            command += [str(self.chain.journal(home.name)), "--rate", str(RATE_EACH), "--seed", str(number)]
            name = f"clerk-{home.name}"
            start = partial(self._workspace.processes.start, command, name=name, env=self.runner.environ)
            self.runner.supervisor.add(name, CLERK, start)
        self._began_s = time.monotonic()

    def kill(self, kinds: frozenset[str], seed: int) -> None:
        """Kill processes of these kinds from now on."""
        self.killer = Killer(self.runner.supervisor, kinds, seed)

    def say(self, what: str) -> None:
        """Tell what happened to a process: on the screen where there is one, else on stderr."""
        elapsed_s = int(time.monotonic() - self._began_s)
        self.latest.append(f"{elapsed_s // 60:02d}:{elapsed_s % 60:02d} {what}")
        if not self.screened:
            self._out.talk(self.latest[-1])

    def tick(self) -> None:
        """Kill what is due, and start again what has died. Raises InventoryError where that is of no use."""
        self.killer.tick()
        self.runner.supervisor.tick()

    def end(self, ran_s: float) -> None:
        """Let the clerks go home and everything arrive, and say what was done in `ran_s` seconds."""
        names = [ward.name for ward in self.runner.supervisor.wards if ward.kind == CLERK]
        clerks = [self.runner.supervisor.release(name) for name in names]
        stop_together(clerks, CLERKS_TIMEOUT_S)
        self.runner.drain(DRAIN_TIMEOUT_S)
        outcomes: Counter[str] = Counter()
        for clerk in clerks:
            if clerk.returncode == -signal.SIGTERM:
                continue  # started again just now: it had not begun
            said = clerk.log_tail(1)
            if not said.startswith("{"):
                raise InventoryError(f"{clerk.name} did not go home in order: {clerk.log_tail(3)}")
            outcomes.update(json.loads(said))
        processes = outcomes.pop("processes", 0)
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        self._out.talk(
            f"clerks did {outcomes.total()} operations, {outcomes.total() / ran_s:.0f} a second, {processes} of them as"
            f" processes of invctl: {told}"
        )

    def _seeded(self, number: int) -> Path:
        wanted = catalogue()[number]
        home = self.chain.home(wanted.store)
        seed_store(home, wanted)
        return home


def parse_seconds(text: str) -> float:
    """Read how long to run. Raises InvalidValueError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # Not a number is not above one, either.
    if not 1 <= seconds <= SECONDS_MAX:
        raise InvalidValueError(f"{text!r} is not a number of seconds, 1 or more", hint="such as 20")
    return seconds


def demo(
    ctx: Context,
    headless: Annotated[bool, Option("--headless", help="No screen: run, and print the proof alone.")] = False,
    seconds: Annotated[
        float | None,
        Option(
            "--seconds",
            click_type=Parsed("N", parse_seconds),
            help="End after so long; headless by default 10, else only with q.",
        ),
    ] = None,
    picture: Annotated[
        Path | None, Option("--picture", metavar="FILE.svg", help="Save the last screen as a picture.")
    ] = None,
    kill: Annotated[
        frozenset[str] | None,
        Option(
            "--kill",
            click_type=WHAT_TO_KILL,
            help="Kill these with -9 meanwhile, with commas between them; alone it means all.",
        ),
    ] = None,
    seed: Annotated[
        int | None, Option("--seed", click_type=A_SEED, help="What the moments of the kills are drawn from.")
    ] = None,
    keep: Annotated[bool, Option("--keep", help="Keep the run's folder, with its databases and logs.")] = False,
) -> None:
    """Run three stores and head office on this machine, live, and prove that nothing was lost.

    A process that dies is started again; that is told.

    For example:

        scripts/demo --headless --seconds 10 -o json
        scripts/demo --headless --seconds 20 --kill all
    """
    out = output(ctx)
    live = not headless and sys.stdout.isatty() and sys.stdin.isatty()
    if picture and not live:
        raise InvalidValueError("there is no screen to save", hint="--picture goes with a terminal, without --headless")
    refuse_idle_seed(seed, kill)
    clear_and_tell(out)
    stop = _on_signals()
    with Workspace.create("demo", keep=keep) as workspace:
        broker = start_broker(workspace.processes, workspace.path, os.environ, out.talk)
        out.talk(f"broker: {broker.description}")
        kinds = ours_to_kill(kill, broker, out.talk)
        run = Demo(workspace, out, broker)
        run.start()
        if kinds:
            run.kill(kinds, told_seed(seed, out.talk))
        since_us, began_s = SystemClock().now_us(), time.monotonic()
        until_s = began_s + (seconds or (float("inf") if live else 10.0))
        if live:
            _watch(run, broker, stop, until_s, picture)
        else:
            _wait(run, stop, until_s)
        ran_s = time.monotonic() - began_s
        out.talk("clerks go home; everything drains ...")
        run.end(ran_s)
        proof = ask_for_proof(
            run.chain,
            run.runner.environ,
            since_us=since_us,
            broker=broker.description,
            seconds=ran_s,
            kills=run.killer.counts,
        )
        print_proof(out, proof)
        if keep:
            out.talk(f"kept in {workspace.path}")
    raise Exit(0 if holds(proof) else 1)


def _on_signals() -> Callable[[], bool]:
    """Let Ctrl-C and SIGTERM end the run as q does. Returns what tells whether one came."""
    came = False

    def note(_number: int, _frame: object) -> None:
        nonlocal came
        came = True

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    return lambda: came


def _wait(run: Demo, stop: Callable[[], bool], until_s: float) -> None:
    while not stop() and time.monotonic() < until_s:
        run.tick()
        time.sleep(TICK_S)


def _watch(run: Demo, broker: Broker, stop: Callable[[], bool], until_s: float, picture: Path | None) -> None:
    from scripts.chain.screen import Screen  # noqa: PLC0415 - a headless run needs no screen
    from scripts.chain.watch import Watch  # noqa: PLC0415

    began_s = time.monotonic()
    watch = Watch(run.homes, run.chain.central_database)
    run.screened = True
    with Screen(f"invctl demo, over {broker.description}", _hints(run, broker)) as screen:
        ended, look_at_s = False, began_s
        while not (ended or stop()) and time.monotonic() < until_s:
            run.tick()
            if time.monotonic() >= look_at_s:
                look_at_s = time.monotonic() + LOOK_EVERY_S
                watch.look()
                screen.show(time.monotonic() - began_s, watch.stores, watch.latest, run.killer.counts, run.latest)
            ended = screen.ended(TICK_S)
        if picture:
            screen.save(picture)
    run.screened = False
    watch.close()


def _hints(run: Demo, broker: Broker) -> list[str]:
    # A broker that was given may have a password in its URL.
    listen = [f"redis-cli -u {broker.url} psubscribe '*'"] if broker.process else []
    return [
        f"export PATH={ROOT / '.venv' / 'bin'}:$PATH",
        f"export INVCTL_HOME={run.homes[0]}",
        f"export INVCENTRAL_HOME={run.chain.central}",
        "invctl reserve MOUSE-001=2 --order MINE; invctl reservations; invctl stock",
        "invcentral stock MOUSE-001; invcentral tail --store downtown",
        *listen,
    ]


if __name__ == "__main__":
    run_script("demo", demo)
