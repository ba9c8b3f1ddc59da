"""The steps of events on their way from a store to head office, as spans: which events have some, and what they say.

Names and attributes are those of https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING

from invctl.model.traces import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invctl.model.traces import Traced

PUBLISH = "publish"
PROCESS = "process"
SETTLE = "settle"
SEEN_IN_A_BATCH_MAX = 16
"""A clerk's own traces are in batches of a few events; of a batch of hundreds some are as good as all."""
UP_TEMPLATE = "{namespace}:up:{slot}:{store}"


def chosen(first_seq: int, bodies: Sequence[bytes], wants: Callable[[Traced], bool]) -> list[Traced]:
    """Return the events of a run that are to be seen: those that `wants` takes, of so many as are looked at.

    They are chosen by the same part of their trace ids that samplers go by: so both sides of the bus choose the same,
    as far as they have the same events before them, and a trace is seen as a whole.
    """
    found = (traced(seq, body) for seq, body in enumerate(bodies, first_seq))
    few = nsmallest(SEEN_IN_A_BATCH_MAX, (each for each in found if each), key=lambda each: each.trace[16:])
    return sorted(each for each in few if wants(each))


def attributes(step: str, channel: str, store: str, seq: int, batch: int) -> dict[str, str | int]:
    """Return what the span of a step says; `batch` is how many events were in the same frame, or transaction."""
    kinds = {PUBLISH: "send", PROCESS: "process", SETTLE: "settle"}
    return {
        "messaging.system": "redis",
        "messaging.operation.name": step,
        "messaging.operation.type": kinds[step],
        "messaging.destination.name": channel,
        "messaging.destination.template": UP_TEMPLATE,
        "messaging.batch.message_count": batch,
        "invctl.store": store,
        "invctl.seq": seq,
    }
