"""What invd shows of one store's events as spans: the clerk's commit, the publish, and head office's answer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from invctl.clock import parse_time
from invctl.errors import InvalidValueError
from invctl.model.events import MalformedEventError, parse
from invctl.runtime.spans import Span, Spans
from invctl.sync import frames, journey

if TYPE_CHECKING:
    from invctl.model.traces import Traced

UNDER_WAY_MAX = 1024


class StoreSpans:
    """The spans of one store. An event is shown when it is published first, and when it is acknowledged."""

    def __init__(self, spans: Spans, store: str, channel: str) -> None:
        """Send to `spans`; `channel` is where the store speaks."""
        self._spans = spans
        self._store = store
        self._channel = channel
        self._published_seq = 0
        # With the moment of the publish, and how many events were in the frame.
        self._under_way: deque[tuple[Traced, int, int]] = deque(maxlen=UNDER_WAY_MAX)

    def published(self, payload: bytes, start_us: int, end_us: int) -> None:
        """Show what the bus took. A frame that is sent again shows nothing new."""
        frame = frames.decode_up(payload)
        if not isinstance(frame, frames.Events) or frame.last_seq <= self._published_seq:
            return
        self._published_seq = frame.last_seq
        seen = journey.chosen(frame.first_seq, frame.events, self._wants)
        self._committed(seen, frame)
        for each in seen:
            self._under_way.append((each, end_us, len(frame.events)))
            self._send(each, journey.PUBLISH, each.span, start_us, end_us, len(frame.events))

    def acknowledged(self, seq: int, now_us: int) -> None:
        """Show that head office is known to have everything up to `seq`."""
        while self._under_way and self._under_way[0][0].seq <= seq:
            each, published_us, batch = self._under_way.popleft()
            self._send(each, journey.SETTLE, each.step(journey.PUBLISH), published_us, now_us, batch)

    def rebased(self) -> None:
        """Begin anew: the ledger has other events under the same numbers."""
        self._published_seq = 0
        self._under_way.clear()

    def _wants(self, each: Traced) -> bool:
        return self._spans.wants(each.trace, each.parent, sampled=each.sampled)

    def _committed(self, seen: list[Traced], frame: frames.Events) -> None:
        """Show the commands that made these events: of one that made several the first to the last."""
        commands: dict[str, list[Traced]] = {}
        for each in seen:
            commands.setdefault(each.span, []).append(each)
        for made in commands.values():
            first, last = (frame.events[each.seq - frame.first_seq] for each in (made[0], made[-1]))
            try:
                event = parse(first)
                start_us, end_us = parse_time(event.time), parse_time(parse(last).time)
            except (MalformedEventError, InvalidValueError):
                continue  # head office tells of it
            about: dict[str, str | int] = {
                "invctl.store": self._store,
                "invctl.seq": made[0].seq,
                "invctl.event.id": event.id,
            }
            self._spans.send(
                Span(event.type, "internal", made[0].trace, made[0].span, made[0].parent, start_us, end_us, about)
            )

    def _send(self, each: Traced, step: str, parent: str, start_us: int, end_us: int, batch: int) -> None:
        kind = "producer" if step == journey.PUBLISH else "internal"
        about = journey.attributes(step, self._channel, self._store, each.seq, batch)
        name = f"{step} {journey.UP_TEMPLATE}"
        self._spans.send(Span(name, kind, each.trace, each.step(step), parent, start_us, max(start_us, end_us), about))
