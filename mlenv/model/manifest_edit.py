"""Changes to the text of mlenv.toml that leave comments, order and white space as somebody wrote them."""

import tomllib
from collections.abc import Mapping

from mlenv.errors import ManifestError
from mlenv.model.digest import Digest
from mlenv.model.manifest_toml import parse_manifest


def image_references(text: str, *, filename: str = "mlenv.toml") -> tuple[str, ...]:
    """The images that a manifest names, as they are written. Raises ManifestError where the manifest is wrong."""
    image = parse_manifest(text, filename=filename, allow_unpinned=True).base.image
    return (image,) if image else ()


def pin_text(text: str, digests: Mapping[str, Digest]) -> str:
    """The text of a manifest with those digests written behind those references, in place of any digest there.

    A reference is named as it is written now. One that the text does not hold is left out.
    """
    import tomlkit  # noqa: PLC0415 -- only an edit needs it
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415 -- as above

    before = tomllib.loads(text)
    written = before.get("base", {}).get("image")
    if written not in digests:
        return text
    pinned = f"{written.partition('@')[0]}@{digests[written]}"
    try:
        document = tomlkit.parse(text)
        document["base"]["image"] = pinned
        edited = tomlkit.dumps(document)
    except TOMLKitError as error:
        hint = f'write image = "{pinned}" yourself'
        raise ManifestError(f"cannot be edited: {error}", where="base.image", hint=hint) from error
    before["base"]["image"] = pinned
    if tomllib.loads(edited) != before:
        raise ManifestError(
            "cannot be edited without changing more", where="base.image", hint=f'write image = "{pinned}" yourself'
        )
    return edited


def is_pinned(reference: str, *, upgrade: bool = False) -> bool:
    """Whether a reference needs no look-up: it has a digest and, where it shall follow its tag again, no tag."""
    name, _, digest = reference.partition("@")
    tagged = ":" in name.removeprefix("oci:").rpartition("/")[2]
    return bool(digest) and not (upgrade and tagged)
