"""Where this machine itself gets Debian packages from: its apt sources (sources.list(5)), read, never changed.

Only entries for Debian itself count. A vendor's entry often has the suite `stable` and the component `main` too, so
entries that are signed by Debian's keyring come first, and without a `Signed-By` a code name says more than `stable`.
A wrong choice is harmless: the index is not signed by Debian's keys then, and is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CODENAMES = ("bullseye", "bookworm", "trixie", "forky", "duke", "sid")
_ALIASES = ("oldoldstable", "oldstable", "stable", "testing", "unstable")
_SUITE = re.compile(rf"({'|'.join(_CODENAMES + _ALIASES)})(-updates|-security)?")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


@dataclass(frozen=True, slots=True)
class AptSource:
    """One pair of URL and suite. `signed_by` is the path of a keyring, None where the entry names none."""

    url: str
    suite: str
    components: tuple[str, ...]
    signed_by: Path | None


@dataclass(frozen=True, slots=True)
class AptMirrors:
    """What the sources say of Debian: the main archive, the one for security updates, the keyring."""

    main: str | None = None
    security: str | None = None
    keyring: Path | None = None


def apt_mirrors(folder: Path = Path("/etc/apt")) -> AptMirrors:
    """The Debian archives that the apt configuration in `folder` names; of several, the likeliest, then the first."""
    ranked = sorted(
        (rank, place, source) for place, source in enumerate(_sources(folder)) if (rank := _rank(source)) is not None
    )
    main = next((source for _, _, source in ranked if not source.suite.endswith("-security")), None)
    security = next((source for _, _, source in ranked if source.suite.endswith("-security")), None)
    return AptMirrors(
        main=main.url if main else None,
        security=security.url if security else None,
        keyring=main.signed_by if main else None,
    )


def _rank(source: AptSource) -> int | None:
    """How likely it is Debian's own, 0 first; None where it is not."""
    match = _SUITE.fullmatch(source.suite)
    if match is None or "main" not in source.components:
        return None
    if source.signed_by is not None:
        return 0 if source.signed_by.name.startswith("debian-archive-") else None
    return 1 if match[1] in _CODENAMES else 2


def _sources(folder: Path) -> Iterator[AptSource]:
    """Every entry, in the order in which apt reads the files."""
    files = [folder / "sources.list"]
    parts = folder / "sources.list.d"
    if parts.is_dir():
        files += sorted(path for path in parts.iterdir() if path.suffix in {".list", ".sources"})
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        yield from _deb822(text) if path.suffix == ".sources" else _one_line(text)


def _one_line(text: str) -> Iterator[AptSource]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.split("#")[0].strip())
        if match is None:
            continue
        options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
        if (url := _url(match["uri"])) is not None:
            components = tuple(match["components"].split())
            yield AptSource(url, match["suite"], components, _keyring(options.get("signed-by", "")))


def _deb822(text: str) -> Iterator[AptSource]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", lines):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in " \t":
                fields[name] = fields.get(name, "") + "\n" + line.strip()
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {
            "no",
            "false",
        }:
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                if (url := _url(uri)) is not None:
                    components = tuple(fields.get("components", "").split())
                    yield AptSource(url, suite, components, _keyring(fields.get("signed-by", "")))


def _keyring(value: str) -> Path | None:
    """A keyring's path; fingerprints and keys written into the entry itself are not read."""
    return Path(value) if value.startswith("/") and "\n" not in value else None


def _url(uri: str) -> str | None:
    """The URL without a slash at its end; the first of a mirror list on this machine; None for other schemes."""
    if uri.startswith("mirror+file:"):
        try:
            lines = Path("/" + uri.removeprefix("mirror+file:").lstrip("/")).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return None
        uri = next((line.split()[0] for line in lines if line.strip() and not line.startswith("#")), "")
    if uri.startswith("file:"):
        uri = "file:///" + uri.removeprefix("file:").lstrip("/")
    return uri.rstrip("/") if uri.startswith(("http://", "https://", "file:///")) else None
