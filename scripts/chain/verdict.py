"""Ask for the proof of a run, in a process of its own, and print it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from invctl.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from invctl.console.output import Output
    from scripts.chain.folder import ChainFolder

PROOF_TIMEOUT_S = 1800.0
_NONE_OF = ("lost", "applied_twice", "oversold", "acknowledged_missing")


def ask_for_proof(
    chain: ChainFolder,
    environ: Mapping[str, str],
    *,
    since_us: int,
    broker: str,
    seconds: float,
    kills: Mapping[str, int],
) -> dict[str, Any]:
    """Return the proof as a JSON value, with the broker, the run's length and the kills of each kind added.

    Differences go to stderr as the proof's process finds them. Raises InventoryError where it could not be computed.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.chain.proof", "--chain", str(chain.path), "--since-us", str(since_us)],
        env=dict(environ),
        stdout=subprocess.PIPE,
        timeout=PROOF_TIMEOUT_S,
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise InventoryError(f"the proof could not be computed (exit code {done.returncode})")
    proved = json.loads(done.stdout)
    # New names come last: who reads CSV by position goes on.
    later = {name: proved.pop(name) for name in ("acknowledged", "acknowledged_missing")}
    return {**proved, "broker": broker, "seconds": round(seconds, 1), **later, "kills": dict(kills)}


def holds(proof: Mapping[str, Any]) -> bool:
    """Say whether a run kept its promises."""
    return bool(proof["equal"]) and not any(proof[name] for name in _NONE_OF)


def print_proof(out: Output, proof: Mapping[str, Any]) -> None:
    """Print the proof, in words or as one line of JSON."""
    out.result(proof, message=in_words(proof), ident="equal" if holds(proof) else "unequal")


def in_words(proof: Mapping[str, Any]) -> str:
    """Return what a proof says, for people."""
    latency = proof["latency_ms"]
    verdict = "central equals every store, byte for byte" if proof["equal"] else "CENTRAL DIFFERS FROM THE STORES"
    lines = (
        f"Proof, from the reopened databases: {verdict}.",
        f"  {proof['events_committed']} events of {proof['stores']} stores, {proof['events_applied']} at head office",
        f"  {proof['lost']} lost, {proof['applied_twice']} applied twice, {proof['oversold']} units oversold",
        f"  {proof['acknowledged']} operations that clerks were told are done, {proof['acknowledged_missing']} missing",
        f"  store to head office in {latency['p50']} ms (median), {latency['p99']} ms (99th percentile)",
        f"  over {proof['broker']}, in {proof['seconds']} s",
    )
    killed = ", ".join(f"{kind} {count} times" for kind, count in proof["kills"].items() if count)
    return "\n".join((*lines, f"  killed meanwhile (-9): {killed}") if killed else lines)
