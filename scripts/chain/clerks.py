"""A store's clerk at work: most of what it does is a real `invctl` process, the rest goes through the ledger's API.

Runs as a process of its own, one a store, until it is told to stop (SIGTERM), and then says on stdout how often each
outcome came.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, NamedTuple

from typer import Argument, Context, Option

from invctl.errors import BusyError, InventoryError, NotEnoughStockError, NotFoundError, WrongStateError
from invctl.ledger import adjustments, reads, reservations
from invctl.ledger.ledger import Ledger
from invctl.ledger.writing import Origin
from scripts.chain.command import run_script
from scripts.chain.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSES_SHARE = 0.6
AT_ONCE_MAX = 2
COMMAND_TIMEOUT_S = 30.0
_CLERKS = ("ana", "ben", "chloe", "dmitri")
_EXPECTED = {0: "done", 4: "not enough stock", 5: "wrong state", 6: "busy"}


class _Action(NamedTuple):
    """One thing to do: as arguments of `invctl`, and as a call of the ledger's API that returns a reservation's id."""

    arguments: list[str]
    call: Callable[[Ledger, Origin], str | None]


class _Command(NamedTuple):
    """A process of `invctl` that is under way, and the id of its request."""

    process: subprocess.Popen[bytes]
    request_id: str


class Clerk:
    """One clerk, who remembers the reservations that he opened, and notes what he was told is done."""

    def __init__(self, home: Path, chance: Random, journal: Journal) -> None:
        """Look at what the store carries."""
        self._home = home
        self._chance = chance
        self._journal = journal
        # Another start of this process draws the same choices, and its requests are others.
        self._start = secrets.token_hex(4)
        self._requests = 0
        self._ledger = Ledger.open(home)
        self._skus = [row.sku for row in reads.stock(self._ledger)[0]]
        self._open: deque[str] = deque(maxlen=40)
        self._commands: list[_Command] = []
        self.outcomes: Counter[str] = Counter()
        self._orders = 0

    def act(self) -> None:
        """Do the next thing, as a process or as a call."""
        action = self._choose()
        self._reap(wait=len(self._commands) >= AT_ONCE_MAX)
        self._requests += 1
        origin = Origin(self._chance.choice(_CLERKS), f"{self._start}-{self._requests}")
        if self._chance.random() < PROCESSES_SHARE:
            self._run(action, origin)
        else:
            self._call(action, origin)

    def finish(self) -> None:
        """Wait for what is under way."""
        while self._commands:
            self._reap(wait=True)
        self._ledger.close()

    def _run(self, action: _Action, origin: Origin) -> None:
        options = ["--request-id", origin.request_id, "-o", "json"]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "invctl", *action.arguments, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "INVCTL_HOME": str(self._home), "INVCTL_CLERK": origin.clerk},
        )
        self._commands.append(_Command(process, origin.request_id))
        self.outcomes["processes"] += 1

    def _call(self, action: _Action, origin: Origin) -> None:
        try:
            opened = action.call(self._ledger, origin)
        except (NotEnoughStockError, WrongStateError, BusyError, NotFoundError) as error:
            self.outcomes[error.code.replace("_", " ")] += 1
        except InventoryError as error:
            self._unexpected(error.message)
        else:
            self.outcomes["done"] += 1
            self._journal.note(origin.request_id)
            if opened:
                self._open.append(opened)

    def _reap(self, *, wait: bool) -> None:
        """Take in the commands that have ended; with `wait`, at least the oldest."""
        for index, command in enumerate(list(self._commands)):
            process = command.process
            if process.poll() is None and not (wait and index == 0):
                continue
            out, said = process.communicate(timeout=COMMAND_TIMEOUT_S)
            self._commands.remove(command)
            if process.returncode not in _EXPECTED:
                self._unexpected(said.decode(errors="replace"))
                continue
            self.outcomes[_EXPECTED[process.returncode]] += 1
            if process.returncode == 0:
                self._journal.note(command.request_id)
            record = json.loads(out) if out.strip() else {}
            if record.get("status") == "pending":
                self._open.append(record["reservation"])

    def _unexpected(self, said: str) -> None:
        self.outcomes["unexpected"] += 1
        print(f"unexpected: {said.strip()}", file=sys.stderr, flush=True)

    def _choose(self) -> _Action:
        draw = self._chance.random()
        if draw < 0.45 or not self._open:
            return self._reserve()
        if draw < 0.67:
            return self._end("confirm", reservations.confirm)
        if draw < 0.75:
            return self._end("cancel", reservations.cancel)
        if draw < 0.80:
            return self._extend()
        if draw < 0.93:
            return self._receive()
        return self._adjust()

    def _reserve(self) -> _Action:
        skus = self._chance.sample(self._skus, self._chance.choice((1, 1, 1, 2, 3)))
        lines = {sku: self._chance.randint(1, 3) for sku in skus}
        self._orders += 1
        order = f"A-{self._orders}"
        # A third is forgotten by its customer, so that expiry has something to do.
        hold_s = self._chance.choice((3, 600, 1800))
        items = [f"{sku}={quantity}" for sku, quantity in lines.items()]

        def call(ledger: Ledger, origin: Origin) -> str:
            receipt = reservations.reserve(ledger, lines, order=order, hold_s=hold_s, origin=origin)
            return str(receipt.event.data["reservation"])

        return _Action(["reserve", *items, "--order", order, "--for", f"{hold_s}s"], call)

    def _end(self, name: str, end: Callable[..., object]) -> _Action:
        reservation = self._open.popleft()

        def call(ledger: Ledger, origin: Origin) -> None:
            end(ledger, reservation, origin=origin)

        return _Action([name, reservation], call)

    def _extend(self) -> _Action:
        reservation = self._open[-1]

        def call(ledger: Ledger, origin: Origin) -> None:
            reservations.extend(ledger, reservation, 900, origin=origin)

        return _Action(["extend", reservation, "--for", "15m"], call)

    def _receive(self) -> _Action:
        return self._change(self._chance.choice(self._skus), self._chance.randint(2, 8), "received")

    def _adjust(self) -> _Action:
        return self._change(self._chance.choice(self._skus), -1, self._chance.choice(("damaged", "shrinkage")))

    def _change(self, sku: str, change: int, reason: str) -> _Action:
        if reason == "received":
            arguments = ["receive", sku, str(change)]
        else:
            arguments = ["adjust", sku, str(change), "--reason", reason]

        def call(ledger: Ledger, origin: Origin) -> None:
            adjustments.adjust(ledger, {sku: change}, reason, origin=origin)

        return _Action(arguments, call)


def main(
    ctx: Context,  # noqa: ARG001 - the command class reads it
    home: Annotated[str, Argument(help="The store's folder.")],
    journal: Annotated[str, Argument(help="The file that takes the request ids of what is done.")],
    rate: Annotated[float, Option("--rate", help="Actions a second.")] = 8.0,
    seed: Annotated[int, Option("--seed", help="What the choices are drawn from.")] = 1,
) -> None:
    """Work in a store until SIGTERM, then print how often each outcome came, as one line of JSON."""
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    with Journal(Path(journal)) as told:
        clerk = Clerk(Path(home), Random(seed), told)
        due_s = time.monotonic()
        while not stopped:
            clerk.act()
            due_s += 1 / rate
            time.sleep(max(0.0, due_s - time.monotonic()))
        clerk.finish()
    print(json.dumps(clerk.outcomes))


if __name__ == "__main__":
    run_script("clerk", main)
