"""Eight shells at one item: exactly what there is gets sold, and everybody gets an answer."""

from __future__ import annotations

import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from invctl.ledger import adjustments
from invctl.ledger.ledger import Ledger
from tests.e2e.clerk import INVCTL, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clerk import Clerk

pytestmark = [pytest.mark.business, pytest.mark.concurrency, pytest.mark.cli]

SHELLS = 8
ATTEMPTS = 5
UNITS = 34

# Each starts when the test opens the gate, so that the first of them does not find the counter to itself.
SHELL = f"""
read -r < {{gate}}
for attempt in $(seq {ATTEMPTS}); do
    {" ".join(INVCTL)} reserve MOUSE-001 -q >> {{out}} 2>> {{err}}
    echo $? >> {{codes}}
done
"""


def test_eight_shells_that_reserve_one_item_sell_what_there_is(clerk: Clerk, tmp_path: Path) -> None:
    with Ledger.open(clerk.home) as ledger:
        adjustments.adjust(ledger, {"MOUSE-001": UNITS - 10}, "received")
    gate = tmp_path / "gate"
    subprocess.run(["mkfifo", str(gate)], check=True)
    folders = [tmp_path / f"shell-{number}" for number in range(SHELLS)]
    shells = [_shell(folder, gate, clerk.home) for folder in folders]
    try:
        with gate.open("w") as opened:
            opened.write("go\n" * SHELLS)
            opened.flush()
            for shell in shells:
                assert shell.wait(timeout=90) == 0
    finally:
        for shell in shells:
            shell.kill()
            shell.wait()

    ids = [key for folder in folders for key in (folder / "out").read_text().split()]
    codes = Counter(code for folder in folders for code in (folder / "codes").read_text().split())
    assert codes == {"0": UNITS, "4": SHELLS * ATTEMPTS - UNITS}
    assert len(set(ids)) == UNITS
    # Every refusal says why.
    said = "".join((folder / "err").read_text() for folder in folders).splitlines()
    reason = f"  MOUSE-001  1 wanted, 0 available: {UNITS} on hand, {UNITS} reserved by R-"
    assert sum(line.startswith(reason) for line in said) == codes["4"]
    assert sum(line == "error: not enough stock" for line in said) == codes["4"]
    assert len(said) == 3 * codes["4"]
    # Nobody stood aside: each got its answers, and the ledger holds.
    assert all(len((folder / "codes").read_text().split()) == ATTEMPTS for folder in folders)
    assert clerk.stock("MOUSE-001") == (UNITS, UNITS, 0)
    assert set(clerk("reservations", "-q").out.split()) == set(ids)
    assert clerk("verify").code == 0


def _shell(folder: Path, gate: Path, home: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    script = SHELL.format(gate=gate, out=folder / "out", err=folder / "err", codes=folder / "codes")
    return subprocess.Popen(["bash", "-c", script], env=environment(home))
