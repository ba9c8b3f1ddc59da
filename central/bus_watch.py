"""Whether head office hears its stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from invctl.errors import UnreachableError


class BusWatch:
    """Whether the bus can be heard. Its loss and its return are each said once."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Begin with nothing known."""
        self._log = log
        self._heard: bool | None = None
        self._why = "no subscription was confirmed yet"

    @property
    def connected(self) -> bool:
        """Whether a subscription stands."""
        return self._heard is True

    def lost(self, error: UnreachableError) -> None:
        """Note that the bus could not be reached. A subscription says so after each attempt."""
        if self._heard is not False:
            self._log.warning("bus.lost", error=error)
        self._heard = False
        self._why = error.message

    def why_not(self) -> str | None:
        """Return why no subscription stands; None where one does."""
        return None if self._heard else self._why

    def subscribed(self, broker: str) -> None:
        """Note that the bus confirmed a subscription."""
        self._log.info("bus.subscribed", broker=broker)
        self._heard = True
