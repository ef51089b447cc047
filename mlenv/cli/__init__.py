"""The command line: one module a command, and the only place that prints or exits."""

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from mlenv.cli import build, cache, init, inspect, keys, lock, pin, schema, sign, trust, verify
from mlenv.cli.streams import prepare_streams
from mlenv.cli.terminal import refused_command_line

app = typer.Typer(
    name="mlenv",
    help="An ML environment as a fact: locked to one image digest, built without Docker, the same bits everywhere.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 -- not needed by any other command

        try:
            typer.echo(f"mlenv {version('mlenv')}")
        except PackageNotFoundError:
            typer.echo("mlenv, run from a source tree without being installed")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


app.command("lock", short_help="Resolve mlenv.toml to mlenv.lock.")(lock.lock)
app.command("build", short_help="Build the image that mlenv.lock names.")(build.build)
app.command("sign", short_help="Approve mlenv.lock.")(sign.sign)
app.command("verify", short_help="Say whether a lock is approved, and an image what it names.")(verify.verify)
app.command("inspect", short_help="Show a lock or an image.")(inspect.inspect)
app.command("init", short_help="Write a first mlenv.toml.")(init.init)
app.command("pin", short_help="Write the digests of images into mlenv.toml.")(pin.pin)
app.command("schema", short_help="Print the JSON Schema of mlenv.toml.")(schema.schema)
app.add_typer(keys.app, name="keys", short_help="Make or show the keys that sign.")
app.add_typer(trust.app, name="trust", short_help="Say whose approval of a lock counts.")
app.add_typer(cache.app, name="cache", short_help="Show or prune the cache.")


def main() -> None:
    """The entry point of the `mlenv` program."""
    prepare_streams()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        # Without standalone mode an error of the command line comes here, to be told like every other one.
        sys.exit(app(prog_name="mlenv", standalone_mode=False))
    except typer.Abort:
        sys.exit(1)
    except Exception as error:
        status = refused_command_line(error, json="--json" in sys.argv)
        if status is None:
            raise
        sys.exit(status)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends as Ctrl-C does: what was half written is removed."""
    del frame
    sys.exit(128 + number)
