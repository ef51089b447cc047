"""The virtual environment that wheels are installed into, and where in it each kind of file lies."""

from dataclasses import dataclass

from mlenv.layers.entry import Entry, EntryType, Inline

ORIGIN = "the virtual environment"


@dataclass(frozen=True, slots=True)
class Venv:
    """A virtual environment under `prefix`, a path without leading slash, for Python `python_minor` ("3.13")."""

    prefix: str = "opt/venv"
    python_minor: str = "3.13"

    @property
    def site_packages(self) -> str:
        """Where purelib and platlib both are; there is no lib64."""
        return f"{self.prefix}/lib/python{self.python_minor}/site-packages"

    @property
    def scripts(self) -> str:
        """Where programs are."""
        return f"{self.prefix}/bin"

    @property
    def interpreter(self) -> str:
        """The absolute path that the first line of a script names."""
        return f"/{self.prefix}/bin/python"

    @property
    def own_files(self) -> frozenset[str]:
        """The paths that belong to the environment itself."""
        names = ("python", "python3", f"python{self.python_minor}")
        return frozenset((f"{self.prefix}/pyvenv.cfg", *(f"{self.scripts}/{name}" for name in names)))

    def headers(self, distribution: str) -> str:
        """Where the C headers of a distribution are; `distribution` is its normalised name."""
        return f"{self.prefix}/include/site/python{self.python_minor}/{distribution}"


def venv_entries(venv: Venv, interpreter: str, python: str) -> list[Entry]:
    """What makes a directory a virtual environment (PEP 405): pyvenv.cfg, links to the interpreter, site-packages.

    `interpreter` is the absolute path of the base's interpreter, `python` its full version.
    """
    home = interpreter.rpartition("/")[0] or "/"
    config = f"home = {home}\ninclude-system-site-packages = false\nversion = {python}\n"
    links = {"python": interpreter, "python3": "python", f"python{venv.python_minor}": "python"}
    return [
        *(
            Entry(f"{venv.scripts}/{name}", EntryType.SYMLINK, 0o777, link=target, origin=ORIGIN)
            for name, target in links.items()
        ),
        Entry(venv.site_packages, EntryType.DIRECTORY, 0o755, origin=ORIGIN),
        Entry(f"{venv.prefix}/pyvenv.cfg", EntryType.FILE, 0o644, content=Inline(config.encode()), origin=ORIGIN),
    ]
