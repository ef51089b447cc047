"""The command line: one module a command, and the only place that prints or exits."""

from typing import Annotated

import typer

from mlenv.cli import build, cache, init, inspect, lock, pin, schema

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
        from importlib.metadata import version  # noqa: PLC0415 -- not needed by any other command

        typer.echo(f"mlenv {version('mlenv')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


app.command("lock")(lock.lock)
app.command("build")(build.build)
app.command("inspect")(inspect.inspect)
app.command("init")(init.init)
app.command("pin")(pin.pin)
app.command("schema")(schema.schema)
app.add_typer(cache.app, name="cache")


def main() -> None:
    """The entry point of the `mlenv` program."""
    app()
