"""`mlenv cache`: what the cache holds, and making it smaller."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal
from mlenv.errors import UsageError

app = typer.Typer(help="Show or prune the cache of fetched files and computed layers.", no_args_is_help=False)


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context, *, json: JsonOption = False, quiet: QuietOption = False, verbose: VerboseOption = 0
) -> None:
    """Show where the cache lies, how large it is, and what is in it."""
    if context.invoked_subcommand is not None:
        return
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.sources.cache import Cache, default_root  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.sources.cache_prune import usage  # noqa: PLC0415 -- as above

        cache = Cache(default_root())
        kinds = usage(cache)
        total = sum(kind.size for kind in kinds)
        rows = [(kind.kind, f"{kind.count} file{'s' * (kind.count != 1)}", readable(kind.size)) for kind in kinds]
        lines = [str(cache.root), *(f"  {name:<28} {count:>12} {size:>12}" for name, count, size in rows)]
        lines.append(f"  {'total':<28} {'':>12} {readable(total):>12}")
        data: dict[str, Any] = {
            "path": str(cache.root),
            "size": total,
            "kinds": [{"kind": kind.kind, "count": kind.count, "size": kind.size} for kind in kinds],
        }
        terminal.result(data, "\n".join(lines))


@app.command(short_help="Remove what is left over or unused.")
def prune(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", help="Remove what was not used for that many days.")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Remove what killed processes left behind; with an option, also files that are whole."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.sources.cache import Cache, default_root  # noqa: PLC0415 -- as above
        from mlenv.sources.cache_prune import prune as remove  # noqa: PLC0415 -- as above

        if everything and older_than is not None:
            raise UsageError("--all and --older-than exclude one another", hint="give one of them")
        if older_than is not None and not 0 <= older_than <= 36_500:
            raise UsageError(f"--older-than {older_than:g} is no number of days", hint="give a number from 0 to 36500")
        age = timedelta(0) if everything else None if older_than is None else timedelta(days=older_than)
        cache = Cache(default_root())
        gone = remove(cache, now=datetime.now(UTC), older_than=age)
        text = f"removed {gone.count} file{'s' * (gone.count != 1)}, {readable(gone.size)}, from {cache.root}"
        terminal.result({"path": str(cache.root), "removed": {"count": gone.count, "size": gone.size}}, text)


def readable(size: int) -> str:
    """Bytes for people, with binary prefixes: 12.3 MiB."""
    if size < 1024:
        return f"{size} B"
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"
