"""What invcentral shows of the events that it commits as spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invctl.runtime.spans import Span, Spans
from invctl.sync import channels, journey

if TYPE_CHECKING:
    from invctl.model.traces import Traced
    from invctl.sync.cursor import Intake


class OfficeSpans:
    """The spans of one central. Several threads may use it."""

    def __init__(self, spans: Spans, namespace: str) -> None:
        """Send to `spans`; `namespace` is what the channels' names begin with."""
        self._spans = spans
        self._namespace = namespace

    def committed(self, intake: Intake, start_us: int, end_us: int) -> None:
        """Show the transaction that committed this part of a store's events."""
        channel = channels.up(self._namespace, intake.store)
        for each in journey.chosen(intake.first_seq, intake.bodies, self._wants):
            about = journey.attributes(journey.PROCESS, channel, intake.store, each.seq, len(intake.bodies))
            name = f"{journey.PROCESS} {journey.UP_TEMPLATE}"
            own, parent = each.step(journey.PROCESS), each.step(journey.PUBLISH)
            self._spans.send(Span(name, "consumer", each.trace, own, parent, start_us, end_us, about))

    def _wants(self, each: Traced) -> bool:
        return self._spans.wants(each.trace, each.parent, sampled=each.sampled)
