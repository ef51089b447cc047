"""`mlenv inspect`: a lock or an image as a table."""

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli.options import MANIFEST, JsonOption, LockOption, ManifestOption, QuietOption, VerboseOption, lock_path
from mlenv.cli.terminal import Terminal

if TYPE_CHECKING:
    from mlenv.model.lock import Lock, LockedPlatform
    from mlenv.sources.image_view import ImageView


def inspect(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="oci:DIR[:TAG] or oci-archive:FILE; the lock where left out.")
    ] = "",
    manifest: ManifestOption = MANIFEST,
    lock_file: LockOption = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show a lock or an image: its layers, their sizes, and what is in each."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        if target:
            from mlenv.oci.reference import Target  # noqa: PLC0415 -- keeps `mlenv --help` quick
            from mlenv.sources.image_view import view_image  # noqa: PLC0415 -- as above

            images = view_image(Target.parse(target))
            terminal.result([one.to_json() for one in images], "\n\n".join(map(_image_table, images)))
            return
        from mlenv.sources.lock_file import load_lock  # noqa: PLC0415 -- as above

        lock = load_lock(lock_path(manifest, lock_file))
        data = lock.model_dump(mode="json", by_alias=True, exclude_none=True)
        terminal.result(data, "\n\n".join(_lock_table(lock, one) for one in lock.platforms))


def _lock_table(lock: "Lock", platform: "LockedPlatform") -> str:
    facts = platform.base.facts
    base = platform.base.reference or f"Debian {platform.base.suite}"
    rows = [(layer.digest.short, layer.size, "base") for layer in platform.base.layers]
    for layer in platform.layers:
        match layer.kind:
            case "wheels":
                what = ", ".join(f"{name} {platform.wheel(name).version}" for name in layer.contents)
            case "debian":
                what = f"{len(layer.contents)} Debian packages"
            case "venv":
                what = "virtual environment"
            case "files":
                what = "files " + ", ".join(layer.contents)
        rows.append((layer.digest.short, layer.size, what))
    heads = (
        ("image", f"{platform.image.manifest}"),
        ("name", f"{lock.environment.name}:{lock.environment.version}"),
        ("platform", str(platform.platform)),
        ("base", f"{base} ({facts.distribution}, {facts.libc} {facts.libc_version}, Python {facts.python})"),
        ("packages", f"{len(platform.wheels)} wheels, {len(platform.debs)} Debian packages"),
    )
    return _table(heads, rows)


def _image_table(view: "ImageView") -> str:
    heads = (
        ("image", str(view.digest)),
        ("name", view.name),
        ("platform", view.platform),
        ("config", str(view.config)),
        ("user", view.user),
        ("command", view.command),
    )
    return _table(heads, [(one.digest.short, one.size, one.what) for one in view.layers])


def _table(heads: tuple[tuple[str, str], ...], rows: list[tuple[str, int, str]]) -> str:
    width = shutil.get_terminal_size((200, 24)).columns
    lines = [f"{name:<10}{value}" for name, value in heads if value]
    lines += ["", f"{'LAYER':<14}{'SIZE':>10}  CONTENT"]
    lines += [f"{digest:<14}{_size(size):>10}  {_shorten(what, width - 26)}" for digest, size, what in rows]
    lines.append(f"{'total':<14}{_size(sum(size for _, size, _ in rows)):>10}")
    return "\n".join(lines)


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= max(width, 20) else text[: max(width, 20) - 1] + "…"


def _size(size: int) -> str:
    """Bytes for people, in powers of 1000 as registries count."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
