"""The text of mlenv.toml -> EnvironmentManifest, or everything that is wrong with it at once."""

import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlenv.errors import ManifestError
from mlenv.model.digest import Digest
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.manifest_rules import Sections, contradictions, unpinned
from mlenv.model.toml_file import Contradiction, NotTomlError, described, impossible_numbers, located, read_toml

_ARRAYS = ("models", "files")


def parse_manifest(
    text: str,
    *,
    filename: str = "mlenv.toml",
    allow_unpinned: bool = False,
    digests: Mapping[str, Digest] | None = None,
) -> EnvironmentManifest:
    """The manifest, or a ManifestError with every problem: `mlenv.toml:12 python.packages[0]`, what, and a hint.

    An image without a digest is a problem unless `allow_unpinned`. Where somebody has looked up what such images
    are now (see `unpinned_images`), `digests` puts that into the message.
    """
    try:
        document = read_toml(text, filename)
    except NotTomlError as error:
        raise ManifestError(problems=[error.problem]) from None
    found = [*impossible_numbers(document)] or [*_problems(document)]
    if not found:
        manifest = EnvironmentManifest.model_validate(document)
        found = [] if allow_unpinned else [*unpinned(Sections.of(manifest), digests or {})]
        if not found:
            return manifest
    raise ManifestError(problems=located(found, text, filename))


def unpinned_images(text: str) -> tuple[str, ...]:
    """The image references in a manifest that have no digest; none where they cannot be read."""
    try:
        document = read_toml(text, "mlenv.toml")
    except NotTomlError:
        return ()
    base = _sections(document).base
    return (base.image,) if base and base.image and base.image_digest is None else ()


def _problems(document: dict[str, Any]) -> Iterator[Contradiction]:
    try:
        manifest = EnvironmentManifest.model_validate(document)
    except ValidationError as error:
        yield from described(error, EnvironmentManifest)
        sections = _sections(document)
        yield from unpinned(sections, {})
    else:
        sections = Sections.of(manifest)
    yield from contradictions(sections)


@cache
def _reader(section: str) -> TypeAdapter[Any]:
    annotation = typing.get_type_hints(EnvironmentManifest)[section]
    return TypeAdapter(typing.get_args(annotation)[0] if section in _ARRAYS else annotation)


def _read(section: str, value: Any) -> Any:
    """One section, without the keys that are wrong in it where it can be read without them, or None."""
    try:
        return _reader(section).validate_python(value)
    except ValidationError as error:
        if not isinstance(value, dict):
            return None
        wrong = [item["loc"][: -1 if item["type"] == "missing" else None] for item in error.errors(include_url=False)]
        if () in wrong:
            return None
        try:
            return _reader(section).validate_python(_without(value, wrong))
        except ValidationError:
            return None


def _without(value: Any, wrong: list[tuple[str | int, ...]]) -> Any:
    """A table without the keys at those locations; an array that holds one is left out whole."""
    if not isinstance(value, dict):
        return value
    drop = {path[0] for path in wrong if len(path) == 1 or not isinstance(value.get(str(path[0])), dict)}
    return {
        key: _without(item, [path[1:] for path in wrong if path[0] == key])
        for key, item in value.items()
        if key not in drop
    }


def _sections(document: dict[str, Any]) -> Sections:
    """Each section by itself, as far as it can be read."""
    values: dict[str, Any] = {}
    for section in EnvironmentManifest.model_fields:
        value = document.get(section)
        if section in _ARRAYS:
            values[section] = tuple(_read(section, item) for item in value) if isinstance(value, list) else ()
        elif value is not None:
            values[section] = _read(section, value)
    return Sections(**values)
