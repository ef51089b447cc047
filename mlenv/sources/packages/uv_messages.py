"""What uv says when it fails, as one of mlenv's errors: one line, uv's own hints kept, no passwords."""

import re

from mlenv.errors import ManifestError, MlenvError, RefusedError, ResolutionError, UnavailableError
from mlenv.model.redact import redact
from mlenv.model.tags import PythonTarget
from mlenv.sources.packages.uv import PROJECT, Outcome

# The frame that older versions draw is not read as text: the multiplication sign in it is meant.
_FRAME = re.compile(r"^[\s\u00d7│├╰─▶·]*(?:error:|cause:|Caused by:|warning:)?\s*")
_NETWORK = re.compile(
    r"error sending request|tcp connect error|dns error|Failed to fetch|Failed to download|Request failed after"
    r"|operation timed out|network was disabled|status code 5\d\d|Connection (?:refused|reset)|certificate"
    r"|not found in the cache",
    re.IGNORECASE,
)
# A file that uv opened for its metadata and could not read.
_BROKEN = re.compile(
    r"Failed to extract archive|Invalid zip file|Bad CRC|Bad (?:compressed|uncompressed) size|Failed to (?:read|parse) "
    r"(?:metadata|the wheel)|Couldn't parse metadata|The wheel is invalid|\.dist-info directory",
    re.IGNORECASE,
)
_SYNTAX = re.compile(
    r"Couldn't parse requirement|Failed to parse|Unsupported requirement|Invalid (?:value|version|requirement)"
    r"|Unexpected |Distribution not found at|error: File not found|Expected (?:one of|package name)",
    re.IGNORECASE,
)
# Sentences in which uv names a package without a usable wheel, in its words of versions 0.9 to 0.13.
_NO_WHEEL = re.compile(
    r"(?:versions of )?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<version>(?:[<>=!~]=?[^\s,]+,?)*)\s+"
    r"(?:has|have) (?:no usable wheels|no wheels with a matching)"
)


def without_wheel(outcome: Outcome) -> list[tuple[str, str]]:
    """The packages for which uv found versions but no wheel: (name, version where it is a single one, or "")."""
    found = {}
    for match in _NO_WHEEL.finditer(" ".join(outcome.messages.split())):
        version = match["version"]
        found[match["name"]] = version.removeprefix("==") if version.startswith("==") and "," not in version else ""
    return sorted(found.items())


def failure(outcome: Outcome, target: PythonTarget | None) -> MlenvError:
    """The error that a failed run means."""
    sentences, hints = condensed(outcome.messages)
    text = outcome.messages
    if "network was disabled" in text or "not found in the cache" in text:
        return UnavailableError(
            f"not in uv's cache, and --offline forbids the network: {sentences}",
            hint="run once without --offline",
        )
    if outcome.status != 1 or "No solution found" not in text:
        if _BROKEN.search(text):
            return RefusedError(
                f"a package is broken: {sentences}",
                hint="the file is damaged or was changed: take it again from where it comes from, or another version",
            )
        if _NETWORK.search(text):
            return UnavailableError(
                f"the package index could not be read: {sentences}",
                hint="check the network, the proxy and uv's index settings (UV_DEFAULT_INDEX, uv.toml)",
            )
        if _SYNTAX.search(text):
            return ManifestError(sentences, hint=hints or "write it as PEP 508 has it: name[extra]==1.2; marker")
        return UnavailableError(
            f"uv failed: {sentences}", hint=hints or "run the command again with -vv, and report it if it stays"
        )
    fits = f" {target}" if target is not None else ""
    if "exclude-newer" in hints:
        hints = hints.partition(" Consider using")[0] + " An index that tells no upload times has nothing that old."
    hint = "relax one of these requirements, or choose a base that fits them"
    if "was not found in the package registry" in sentences:
        hint = "check its name; where it lies elsewhere, name that place in [[python.indexes]] or python.find-links"
    return ResolutionError(f"no set of packages fits{fits}: {sentences}", hint=hints or hint)


def condensed(messages: str) -> tuple[str, str]:
    """The explanation on one line, and the hints on one line."""
    explanation: list[str] = []
    hints: list[str] = []
    current = explanation
    # uv speaks of the project that was written for it; the user knows only what he asked for.
    told = redact(messages).replace(f"{PROJECT} depends on", "you require")
    for raw in told.splitlines():
        line = _FRAME.sub("", raw).strip()
        if not line or line.startswith("No solution found when resolving dependencies"):
            continue
        if match := re.match(r"hint:\s*(.*)", line):
            hints.append(match[1])
            current = hints
        elif current is hints and raw.startswith(" "):
            hints[-1] += " " + line
        else:
            current = explanation
            explanation.append(line)
    return _one_line(" ".join(explanation)), _one_line("; ".join(hints))


def _one_line(text: str, most: int = 1200) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= most else text[: most - 1] + "…"
