"""A network of its own at the far end of one cable, which can be made to lose what goes through it, each way by itself.

A network namespace, joined to this one by a pair of virtual interfaces. What is cut is sent to a hardware address that
nobody has: it leaves, and is lost without a word, as in a network that lost its way. Sockets and routes of both sides
know nothing of it, and what the other way carries still arrives. TCP's own clocks run as they do between machines.

The namespace has no name. It lives as long as the processes in it, which die with this one, and the cable goes with
it: nothing is left behind, however this process ends. It takes Linux and the right to configure a network.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.chain.waiting import wait_until
from scripts.trouble.scenario import LackingError, OtherwiseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.chain.processes import Child

# For tests between networks (RFC 2544): nobody routes it, so nothing of this machine's is hidden by it.
_SUBNETS = 2**15
_MAC_OF_NOBODY = "02:00:00:00:00:00"
_UPLINK = "uplink"
_BEGINS_S = 10.0
_ENDS_S = 10.0
_TOOLS = ("ip", "nsenter", "unshare")
_RIGHT = "needs the right to make a network: root, or `unshare --map-root-user --net --mount`"


class FarSide:
    """The network, empty at first.

    On the cable, `near` is this side's address, and `far` the other's. `within` is what runs a command there.
    """

    def __init__(self, start: Callable[[list[str]], Child]) -> None:
        """Make it, with nothing cut. `start` starts a command that ends with this process.

        Raises LackingError where this machine has not got it, or does not allow it.
        """
        if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
            raise LackingError(f"needs Linux, and {', '.join(missing)}")
        # It holds the namespace while nobody else is in it.
        self._holder = start(["unshare", "--net", "sleep", "infinity"])
        self.namespace = f"/proc/{self._holder.pid}/ns/net"
        if not wait_until(self._is_apart, timeout_s=_BEGINS_S):
            raise LackingError(f"{_RIGHT}: {self._holder.log_tail(1)}")
        self.within = ["nsenter", f"--net={self.namespace}", "--"]
        number = secrets.randbelow(_SUBNETS)
        first = number * 4
        subnet = f"198.{18 + (first >> 16)}.{first >> 8 & 255}"
        self.near, self.far = f"{subnet}.{(first & 255) + 1}", f"{subnet}.{(first & 255) + 2}"
        self.cable = f"inv{secrets.token_hex(4)}"
        self._lay_cable()

    def cut(self, *, inwards: bool = False, outwards: bool = False) -> None:
        """Lose all that goes to the far side (`inwards`), all that comes from there (`outwards`), or both."""
        self._aim(_MAC_OF_NOBODY if inwards else self._far_mac, _MAC_OF_NOBODY if outwards else self._near_mac)

    def heal(self) -> None:
        """Lose nothing any more."""
        self.cut()

    def close(self) -> None:
        """See that it is gone, once all other processes in it have ended."""
        self._holder.kill()
        # The kernel takes its time.
        cable = Path("/sys/class/net") / self.cable
        if not wait_until(lambda: not cable.exists(), timeout_s=_ENDS_S):
            raise OtherwiseError(f"{cable.name} is still there: somebody lives on in {self.namespace}")

    def _is_apart(self) -> bool:
        if not self._holder.alive():
            raise LackingError(f"{_RIGHT}: {self._holder.log_tail(1)}")
        # Before it has become `sleep` it may still be on its way there.
        name = Path(f"/proc/{self._holder.pid}/comm").read_text(encoding="utf-8").strip()
        return name == "sleep" and Path(self.namespace).readlink() != Path("/proc/self/ns/net").readlink()

    def _lay_cable(self) -> None:
        pid = str(self._holder.pid)
        self._ip("link", "add", self.cable, "type", "veth", "peer", "name", _UPLINK, "netns", pid)
        self._ip("address", "add", f"{self.near}/30", "dev", self.cable)
        self._ip("link", "set", self.cable, "up")
        self._far_ip("address", "add", f"{self.far}/30", "dev", _UPLINK)
        for interface in ("lo", _UPLINK):
            self._far_ip("link", "set", interface, "up")
        self._near_mac = _mac(self._ip("-json", "link", "show", self.cable))
        self._far_mac = _mac(self._far_ip("-json", "link", "show", _UPLINK))
        self.heal()

    def _aim(self, at_far: str, at_near: str) -> None:
        """Send what is for either side to these hardware addresses."""
        for ask, to, at, interface in (
            (self._ip, self.far, at_far, self.cable),
            (self._far_ip, self.near, at_near, _UPLINK),
        ):
            ask("neighbour", "replace", to, "lladdr", at, "dev", interface, "nud", "permanent")

    def _ip(self, *arguments: str, within: tuple[str, ...] = ()) -> str:
        done = subprocess.run([*within, "ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        said = f"`ip {' '.join(arguments)}`: {done.stderr.strip()}"
        if "permitted" in done.stderr or "not supported" in done.stderr:
            raise LackingError(f"{_RIGHT}: {said}")
        raise OtherwiseError(said)

    def _far_ip(self, *arguments: str) -> str:
        return self._ip(*arguments, within=tuple(self.within))


def _mac(shown: str) -> str:
    (interface,) = json.loads(shown)
    return str(interface["address"])
