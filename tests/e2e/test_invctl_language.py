"""A clerk whose locale is Spanish reads Spanish; programs, and whatever is stored, know nothing of it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.clerk import INVCTL, environment

if TYPE_CHECKING:
    from tests.e2e.clerk import Clerk

pytestmark = pytest.mark.cli

SPANISH = {"LC_ALL": "es_ES.UTF-8"}


@pytest.mark.parametrize(
    "command",
    [
        "stock -o json",
        "history -o csv",
        "doctor -o ndjson",
        "status -o json",
        "sell MOUSE-001=1000 -o json",
        "sell NOTHING -o json",
        "adjust MOUSE-001 -1 --reason no -o json",
        "export products",
        "completion words daemon st",
        "stock -q",
    ],
)
def test_programs_get_the_same_bytes(clerk: Clerk, command: str) -> None:
    spanish, english = (clerk.process(*command.split(), env=env) for env in (SPANISH, {}))
    volatile = ("disk_free_bytes", "MB free")
    if any(word in english.out for word in volatile):
        spanish, english = (done._replace(out=without_digits(done.out)) for done in (spanish, english))
    assert spanish == english


def without_digits(text: str) -> str:
    return "".join(char for char in text if not char.isdigit())


def test_a_clerk_reads_spanish(clerk: Clerk) -> None:
    done = clerk.process("sell", "MOUSE-001=1000", env=SPANISH)
    assert done.code == 4
    assert done.err.startswith("error: no hay existencias suficientes\n  MOUSE-001  solicitado 1.000, disponible ")
    assert "sugerencia: `invctl stock` muestra lo que hay\n" in done.err
    stock = clerk.process("stock", env=SPANISH).out
    assert stock.split()[:5] == ["SKU", "Nombre", "Precio", "USD", "Existencias"]
    undone = clerk.process("undo", env=SPANISH)
    assert (undone.code, undone.err.splitlines()[0][:7]) != (1, "unexpec")
    key = clerk("reserve", "MOUSE-001", "-q").out.strip()
    undone = clerk.process("undo", env=SPANISH)
    assert undone.out.endswith(f"(reserva {key}): 1 MOUSE-001 liberado\n")
    usage = clerk.process("adjust", "MOUSE-001", "-1", env=SPANISH)
    assert usage.err.startswith("error: Falta la opción '--reason'. Uno de estos: received")


def test_so_are_the_help_pages(clerk: Clerk) -> None:
    for command, told in (("sell", "Reserva y confirma en un solo paso"), ("", "Lleva las existencias de una tienda")):
        page = clerk.process(*command.split(), "--help", env=SPANISH).out
        assert page.startswith(told)
        assert "\nUso: invctl" in page
        assert "\nOpciones comunes:\n" in page
        assert "Show" not in page


def test_invctls_own_variable_comes_before_the_locale(clerk: Clerk) -> None:
    assert clerk.process("stock", "NO", env={"INVCTL_LANGUAGE": "es"}).err.startswith("error: no existe el producto NO")
    spoken = clerk.process("stock", "NO", env={**SPANISH, "INVCTL_LANGUAGE": "en"})
    assert spoken.err.startswith("error: no product NO")


def test_a_refusal_is_kept_in_english_whoever_was_refused(clerk: Clerk) -> None:
    words = ["sell", "MOUSE-001=1000", "--request-id", "r1"]
    assert "no hay existencias suficientes" in clerk.process(*words, env=SPANISH).err
    again = clerk.process(*words, "-o", "json").error
    assert again["replayed"] is True
    assert again["message"].startswith("not enough stock of MOUSE-001: 1,000 wanted, ")
    assert again["hint"] == "`invctl stock` shows what there is"


def test_the_counter_speaks_spanish(clerk: Clerk) -> None:
    done = subprocess.run(
        [*INVCTL, "scan"],
        env={**environment(clerk.home), **SPANISH},
        input="MOUSE-001\n3*\nMOUSE-001\nnobody\nbasket\nundo\nsell\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stderr.splitlines()
    assert said[0] == "escanee artículos y después: sell, reserve, cancel, undo, basket, help, quit"
    assert "3 del próximo artículo" in said
    assert "nadie conoce nobody: =SKU se lo asigna a un artículo, por ejemplo =MOUSE-001" in said
    assert any(line.startswith("4 unidades en la cesta") for line in said)
    assert "3 MOUSE-001 fuera de la cesta" in said
    assert " confirmado: vendido 1 MOUSE-001" in done.stdout
