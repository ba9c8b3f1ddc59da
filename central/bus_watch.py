"""Whether head office hears its stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from invctl.errors import UnreachableError


class BusWatch:
    """Whether the bus can be heard. Its loss is said once for each cause, its return once."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Begin with nothing known."""
        self._log = log
        self._heard: bool | None = None
        self._lost_by = set[str]()
        self._why = "no subscription was confirmed yet"

    @property
    def connected(self) -> bool:
        """Whether a subscription stands."""
        return self._heard is True

    def lost(self, error: UnreachableError) -> None:
        """Note that the bus could not be reached. A subscription says so after each attempt."""
        cause = str(error.details.get("cause"))
        # Whoever has mended a certificate is told of the password that is wrong besides.
        if cause not in self._lost_by:
            self._log.warning("bus.lost", error=error)
            self._lost_by.add(cause)
        self._heard = False
        self._why = error.message

    def why_not(self) -> str | None:
        """Return why no subscription stands; None where one does."""
        return None if self._heard else self._why

    def subscribed(self, broker: str) -> None:
        """Note that the bus confirmed a subscription."""
        self._log.info("bus.subscribed", broker=broker)
        self._heard = True
        self._lost_by.clear()
