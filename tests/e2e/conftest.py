"""Fixtures of the tests of whole command lines."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from invctl.clock import SystemClock
from tests.e2e.chain import Chain
from tests.e2e.clerk import Clerk, open_store
from tests.e2e.head_office import Office
from tests.integration.central_service.office import Store, admitted, minted, serving
from tests.servers import postgres_url_of_a_server, real_broker, schema_of_its_own, shared_broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Broker


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with ten mice, three laptops and no keyboard: to be copied."""
    home = tmp_path_factory.mktemp("new") / "store"
    open_store(home, MOUSE=10, LAPTOP=3, KEYBOARD=0)
    return home


@pytest.fixture
def clerk(
    new_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Clerk:
    """A clerk of a store of its own, like `new_store`."""
    home = tmp_path / "store"
    shutil.copytree(new_store, home)
    for name in ("NO_COLOR", "FORCE_COLOR", "INVCTL_CLERK", "INVCTL_DEBUG", "TRACEPARENT", "TZ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INVCTL_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return Clerk(home, capsys)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with shared_broker() as url:
        yield url


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Which database head office has; SQLite unless a test asks for both."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def unfounded(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Office]:
    """Head office before anybody set it up, with no broker anywhere."""
    with ExitStack() as running:
        url = None
        if database == "postgresql":
            url = running.enter_context(schema_of_its_own(postgres_url_of_a_server()))
        office = Office(tmp_path / "office", "redis://127.0.0.1:1", running, capsys, url)
        for name in ("NO_COLOR", "FORCE_COLOR", "INVCTL_DEBUG", "INVCENTRAL_DATABASE_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in office.environ.items():
            monkeypatch.setenv(name, value)
        yield office


@pytest.fixture
def office(unfounded: Office) -> Office:
    """Head office, set up, with no broker anywhere."""
    assert unfounded("init").code == 0
    return unfounded


@pytest.fixture
def linked(office: Office, redis_url: str) -> Office:
    """Head office, set up, with a broker."""
    office.environ["INVCTL_REDIS_URL"] = redis_url
    return office


@pytest.fixture
def filled(office: Office) -> Office:
    """Head office with two stores applied, and a third that waits."""
    with office.engine() as engine:
        clock = SystemClock()
        admitted(engine, "downtown", "midtown")
        server = serving(engine, minted(engine, "office:1"), clock=clock)
        server.open()
        for name in ("downtown", "midtown"):
            store = Store(name, clock=clock, seed=len(name))
            store.history.product("MOUSE-001", "Wireless mouse", 8000)
            store.history.reserve({"MOUSE-001": 2}, order="A-17")
            store.adjust("LAPTOP-001", -1)
            store.talk(server)
        server.upkeep()
        waiting = serving(engine, minted(engine, "office:1"), clock=clock)
        waiting.open()
        waiting.round(Store("harlem", clock=clock).says())
    return office


@pytest.fixture
def broker() -> Iterator[Broker]:
    with real_broker() as server:
        yield server


@pytest.fixture
def chain(clerk: Clerk, tmp_path: Path, broker: Broker) -> Iterator[Chain]:
    running_chain = Chain(clerk, tmp_path / "office", broker.url)
    try:
        yield running_chain
    finally:
        running_chain.end()
