"""`invctl init`."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from typer import Argument, Context, Option

from invctl import settings
from invctl.cli.command import home
from invctl.cli.origin import origin
from invctl.cli.parameters import Clerk
from invctl.cli.times import machine_zone
from invctl.console.command import output
from invctl.console.options import Parsed
from invctl.errors import InvalidValueError, RefusedError
from invctl.language import _, english
from invctl.ledger import reads
from invctl.ledger.checks import check_currency
from invctl.ledger.ledger import Ledger
from invctl.model.identifiers import check_store


def parse_timezone(text: str) -> str:
    """Read an IANA name. Raises InvalidValueError where this machine does not know it."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - costs, and is rare

    if text != "UTC":
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = _("an IANA name, such as America/New_York; this machine may lack the time zones (tzdata)")
            raise InvalidValueError(_("{text!r} is not a time zone", text=text), hint=hint) from None
    return text


def machine_timezone() -> str:
    """Return the name of the machine's time zone, UTC where it cannot be told."""
    try:
        return parse_timezone(machine_zone() or "UTC")
    except InvalidValueError:
        return "UTC"


def init(
    ctx: Context,
    store: Annotated[str, Argument(click_type=Parsed("STORE", check_store), help="Its id, such as downtown.")],
    name: Annotated[str | None, Option("--name", metavar="TEXT", help="What people call it.")] = None,
    currency: Annotated[
        str, Option("--currency", click_type=Parsed("CODE", check_currency), help="That of its prices (ISO 4217).")
    ] = "USD",
    timezone: Annotated[
        str | None,
        Option("--timezone", click_type=Parsed("ZONE", parse_timezone), help="By default the machine's own."),
    ] = None,
    redis_url: Annotated[str | None, Option("--redis-url", metavar="URL", help="The broker, for config.toml.")] = None,
    namespace: Annotated[
        str | None,
        Option(
            "--namespace",
            click_type=Parsed("WORD", settings.check_namespace),
            help="The chain's name on the broker, for config.toml.",
        ),
    ] = None,
    clerk: Clerk = None,
) -> None:
    """Open a new store: its folder, its ledger, and its daemon's settings.

    For example:

        invctl init downtown --name Downtown --timezone America/New_York
    """
    folder, zone = home(ctx), timezone or machine_timezone()
    try:
        with Ledger.create(
            folder, store, name=name or "", currency=currency, timezone=zone, origin=origin(clerk, None)
        ) as ledger:
            (folder / settings.RUN).mkdir(exist_ok=True)
            write_config(folder / settings.CONFIG_FILE, redis_url, namespace)
            record = {**ledger.store._asdict(), "home": str(folder), "seq": reads.head_seq(ledger)}
    except RefusedError as error:
        if (redis_url or namespace) and english(error.message).startswith("there is a ledger here already"):
            # Most likely it is the settings that are meant.
            raise RefusedError(
                error.message,
                hint=_(
                    "set redis_url and namespace in {file}; for another store, --home",
                    file=folder / settings.CONFIG_FILE,
                ),
                **error.details,
            ) from error
        raise
    except OSError as error:
        hint = _("choose another --home, or look at its mode")
        raise RefusedError(
            _("{folder} cannot be used: {strerror}", folder=folder, strerror=error.strerror), hint=hint
        ) from error
    named = f" ({name})" if name else ""
    about = _(
        "{named} is open in {folder}: prices in {currency}, times of {zone}",
        named=named,
        folder=folder,
        currency=currency,
        zone=zone,
    )
    output(ctx).result(record, message=[(store, "bold cyan"), about], ident=store)
    output(ctx).talk(
        _("next: `invctl product add`, `invctl receive`, and `invctl daemon start` for the way to head office")
    )


def write_config(path: Path, redis_url: str | None, namespace: str | None) -> None:
    """Write `config.toml`, which may come to hold a password; one that is there already stays."""
    with suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(settings.config_text(redis_url=redis_url, namespace=namespace), encoding="utf-8")
