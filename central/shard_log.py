"""What a shard's server tells of its work: in the log, where one thing is not said a thousand times, and in counts."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from central.limited_log import LimitedLog
from invctl.model.traces import trace_id
from invctl.sync import frames
from invctl.sync.telling import trace_of, traces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger

    from central.agreement import Agreement
    from central.apply import Applied
    from invctl.clock import Clock
    from invctl.sync.cursor import Heard, Intake, Lost, Page
    from invctl.sync.receiver import Receiver

# What a frame may turn out to be, and how loudly that is told. A duplicate is in the nature of the bus.
_WARNINGS = {
    "clock_set_back",
    "damaged",
    "foreign",
    "misfit",
    "too_many_newcomers",
    frames.UNKNOWN_VERSION,
    frames.OTHER_LEDGER,
    frames.BYTES_DO_NOT_HASH,
}
_NOTICES = {"gap"}
# Of SKUs in one line.
_NAMED_MAX = 10


class ShardLog:
    """Tells what happens in one shard. `counts` is what was done and met with so far; `limited` is the log itself."""

    def __init__(self, log: FilteringBoundLogger, clock: Clock) -> None:
        """Begin with nothing told."""
        self.limited = LimitedLog(log, clock)
        self.counts: Counter[str] = Counter()
        self._log = log
        self._diverged: set[str] = set()
        self._told: Counter[str] = Counter()

    def reception(self, store: str, payload: bytes, receiver: Receiver) -> None:
        """Tell what the frame that was just taken in turned out to be, where that is odd."""
        if receiver.counts == self._told:
            return
        odd = receiver.counts - self._told
        self._told.update(odd)
        self.counts.update(odd)
        cursor = receiver.cursor(store)
        trace = trace_of(payload)
        facts = {"seq": cursor.applied_seq if cursor else None} | ({"trace": trace} if trace else {})
        for reason in odd:
            if reason in _WARNINGS:
                self.limited.warning(f"frame.{reason}", store=store, **facts)
            elif reason in _NOTICES:
                self.limited.info(f"frame.{reason}", store=store, **facts)

    def divergence(self, heard: Iterable[Heard]) -> None:
        """Tell once that a store's ledger lacks what was applied of it, and once that it no longer does."""
        for each in heard:
            if bool(each.lacks_seq) == (each.store in self._diverged):
                continue
            if each.lacks_seq:
                self._diverged.add(each.store)
                self._log.warning("store.diverged", store=each.store, seq=each.lacks_seq)
            else:
                self._diverged.remove(each.store)
                self._log.info("store.agrees", store=each.store, seq=each.head_seq)

    def history(self, lost: Lost, page: Page) -> None:
        """Tell that a store which lost history is sent what it lacks."""
        self.counts["histories_sent"] += 1
        last_seq = page.first_seq + len(page.bodies) - 1
        self.limited.info("history.sent", store=lost.store, boot=lost.boot, first_seq=page.first_seq, seq=last_seq)

    def commit(self, intake: Intake, done: Applied) -> None:
        """Tell what one store's part of a transaction brought."""
        self.counts["events"] += done.events
        if self._log.is_enabled_for(logging.DEBUG):
            self._log.debug(
                "events.committed",
                store=done.store,
                seq=done.last_seq,
                **traces(intake.bodies),
                events=done.events,
                position=done.positions[1],
            )
        for doubt in done.doubts:
            self.counts["doubts"] += 1
            trace = trace_id(intake.bodies[doubt.seq - intake.first_seq])
            self.limited.warning(
                "sku.suspect", store=done.store, seq=doubt.seq, trace=trace, sku=doubt.sku, reason=doubt.reason
            )
        for drift in done.drifts:
            self.counts["drifts"] += 1
            self.limited.error(
                "sku.drifted",
                store=done.store,
                seq=done.last_seq,
                sku=drift.sku,
                had=drift.had and drift.had._asdict(),
                archived=drift.archived._asdict(),
            )
        if done.agreement:
            self._agreement(done.store, done.agreement)

    def _agreement(self, store: str, found: Agreement) -> None:
        self.counts["checkpoints"] += 1
        if found.agreed:
            self._log.debug("checkpoint.agrees", store=store, seq=found.seq, skus=found.skus, cleared=found.cleared)
            return
        self.counts["checkpoints_differing"] += 1
        self._log.error(
            "checkpoint.differs",
            store=store,
            seq=found.seq,
            skus=found.skus,
            rebuilt=len(found.rebuilt),
            suspect=len(found.differing),
            named=[*found.rebuilt, *found.differing][:_NAMED_MAX],
            agrees_now=found.agrees,
        )
