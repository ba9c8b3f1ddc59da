"""The composition of broker, Prometheus and Grafana: it mounts what there is, where it is looked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.files import COMPOSE, COMPOSE_TLS, DASHBOARD, GRAFANA, PROMETHEUS, read

pytestmark = pytest.mark.metrics


def services() -> dict[str, Any]:
    """The services, by name."""
    found: dict[str, Any] = read(COMPOSE)["services"]
    return found


def mounted(service: str) -> dict[str, str]:
    """What is mounted into a service: the place there to the place here."""
    parts = (volume.split(":") for volume in services()[service].get("volumes", ()))
    return {there: here for here, there, *_ in parts}


def test_what_is_mounted_is_there() -> None:
    named = set(read(COMPOSE)["volumes"])
    for service in services():
        for here in mounted(service).values():
            assert (COMPOSE.parent / here).exists() if here.startswith(".") else here in named
    folders = {(COMPOSE.parent / here).resolve() for name in services() for here in mounted(name).values()}
    assert {PROMETHEUS, DASHBOARD.parent, GRAFANA / "provisioning"} <= folders
    # What Grafana and Prometheus write stays when they are made anew.
    assert {"redis", "prometheus", "grafana"} <= {here for name in services() for here in mounted(name).values()}


def test_each_finds_what_is_mounted() -> None:
    prometheus = services()["prometheus"]
    (config,) = (each for each in prometheus["command"] if each.startswith("--config.file="))
    folder, _, name = config.removeprefix("--config.file=").rpartition("/")
    assert (COMPOSE.parent / mounted("prometheus")[folder] / name).is_file()
    (provider,) = read(GRAFANA / "provisioning" / "dashboards" / "invctl.yml")["providers"]
    assert (COMPOSE.parent / mounted("grafana")[provider["options"]["path"]]).resolve() == DASHBOARD.parent
    (source,) = read(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert f"--web.listen-address={source['url'].removeprefix('http://')}" in prometheus["command"]
    # Both reach what listens on this machine alone.
    assert {each["network_mode"] for each in services().values()} == {"host"}


def test_no_password_is_written_down_and_none_may_be_left_out() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    secrets = re.findall(r"^ +\w*(?:AUTH|PASSWORD): (.+)$", text, re.MULTILINE)
    assert len(secrets) == 2
    assert all(re.fullmatch(r"\$\{\w+:\?[^}]+\}", secret) for secret in secrets)
    # A name that moves brings another program by itself.
    assert all(re.search(r":v?\d+\.\d+", each["image"]) for each in services().values())


def test_over_tls_the_same_broker_finds_its_certificate_and_is_asked_at_its_port() -> None:
    (service, added), *others = read(COMPOSE_TLS)["services"].items()
    assert (service, others) == ("redis", [])
    options = added["environment"]["REDIS_OPTIONS"].split()
    assert services()["redis"]["command"][-1].endswith("$$REDIS_OPTIONS")
    (volume,) = added["volumes"]
    mount = re.fullmatch(r"(\$\{\w+:\?[^}]+\}):(/\w+):ro", volume)
    assert mount
    here, there = mount.groups()
    named = {Path(options[at + 1]) for at, option in enumerate(options) if option.endswith("-file")}
    assert {path.parent for path in named} == {Path(there)}
    assert all(path.name in here for path in named)
    (port,) = (options[at + 1] for at, option in enumerate(options) if option == "--tls-port")
    assert f"-p {port} --tls" in added["healthcheck"]["test"][-1]
    assert f"@HOST:{port}/0?ssl_ca_certs=" in COMPOSE_TLS.read_text(encoding="utf-8")
