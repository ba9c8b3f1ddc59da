"""Baskets sold through ledgers as fast as that goes, by several clerks at once: a chain's stores do not take turns."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING

from invctl.ledger import reservations
from invctl.ledger.writing import Origin
from scripts.chain.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from invctl.ledger.ledger import Ledger
    from scripts.chain.groceries import Basket

TILLS = 4
"""While one waits for the disk the others work; more wait for the same cores."""
LOOK_EVERY_S = 0.02


class Tills:
    """Clerks, each in stores of its own, where it sells the baskets in their order.

    A ledger is used by the thread of its clerk alone until `sell` returns.
    """

    def __init__(self, ledgers: Mapping[str, Ledger], journal: Callable[[str], Path], *, lasts_s: float = 0.0) -> None:
        """Spread the baskets over `lasts_s` seconds, or let them go as fast as they can (0).

        `journal` says which file is to name what was accepted in a store.
        """
        self._ledgers = ledgers
        self._journal = journal
        self._lasts_s = lasts_s
        self._began_s = 0.0
        self._sold = 0
        self._closed = Event()

    def sell(self, baskets: list[Basket], meanwhile: Callable[[int], object]) -> None:
        """Reserve and confirm each basket. Calls `meanwhile` again and again, with how many are sold.

        Raises what the ledgers raise; the other clerks then stop after the basket that they are at.
        """
        self._began_s = time.monotonic()
        shares: list[list[tuple[float, Basket]]] = [[] for _ in range(TILLS)]
        till_of = {store: number % TILLS for number, store in enumerate(self._ledgers)}
        for number, basket in enumerate(baskets, 1):
            shares[till_of[basket.store]].append((self._lasts_s * number / len(baskets), basket))
        with ThreadPoolExecutor(TILLS, thread_name_prefix="till") as pool:
            try:
                tills = [pool.submit(self._serve, share) for share in shares]
                while not _ended(tills):
                    meanwhile(self._sold)
                    time.sleep(LOOK_EVERY_S)
            finally:
                self._closed.set()
        for till in tills:
            till.result()
        meanwhile(self._sold)

    def _serve(self, share: Iterable[tuple[float, Basket]]) -> None:
        with ExitStack() as open_:
            journals: dict[str, Journal] = {}
            for due_s, basket in share:
                if self._closed.is_set():
                    return
                store = basket.store
                if store not in journals:
                    journals[store] = open_.enter_context(Journal(self._journal(store)))
                self._sell(basket, journals[store])
                self._closed.wait(max(self._began_s + due_s - time.monotonic(), 0.0))

    def _sell(self, basket: Basket, told: Journal) -> None:
        ledger = self._ledgers[basket.store]
        opening, ending = (Origin(request_id=f"{basket.basket}-{step}") for step in ("reserve", "confirm"))
        opened = reservations.reserve(ledger, basket.lines, order=basket.basket, origin=opening)
        told.note(opening.request_id)
        reservations.confirm(ledger, opened.event.subject, origin=ending)
        told.note(ending.request_id)
        self._sold += 1


def _ended(tills: Iterable[Future[None]]) -> bool:
    """Tell whether all have ended, or one by an error."""
    ended = [till for till in tills if till.done()]
    return len(ended) == TILLS or any(till.exception() for till in ended)
