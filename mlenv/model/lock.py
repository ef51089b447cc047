"""mlenv.lock as values: every digest that an environment is made of, and the image's own.

The normative text is schema/lock.md. A lock names no time of writing, no host, no tool version and no place to
download from, so that it holds behind a mirror or an air gap, and so that two people who lock the same thing get
the same bytes.
"""

import tomllib
from collections import Counter
from typing import Annotated, Any, Final, Literal, Self

from packaging.utils import parse_wheel_filename
from packaging.version import Version
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mlenv.errors import LockFormatError, Problem
from mlenv.model.digest import Digest
from mlenv.model.facts import BaseFacts
from mlenv.model.manifest import Container, Cuda, Environment, FileTree, Model, Resources
from mlenv.model.manifest_quantities import Moment
from mlenv.model.platform import Platform
from mlenv.model.toml_file import has_deep_key
from mlenv.model.toml_writer import write_toml

LOCK_VERSION: Final = 1
RECIPE_VERSION: Final = 1

Size = Annotated[int, Field(ge=0, lt=1 << 50)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Value(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _platform(value: Any) -> Any:
    return Platform(value) if isinstance(value, str) else value


def _integer(value: Any) -> Any:
    if type(value) is not int:  # for Python, true and 1.0 are 1
        raise ValueError("should be an integer")
    return value


class LockedRequirements(_Value):
    """A requirements file that was read: its path in the project and the digest of its bytes."""

    path: Name
    digest: Digest


class LockedWheel(_Value):
    """A wheel: which bytes, not where they lie. `requested` is whether the manifest names it."""

    name: Name
    version: Name
    filename: Name
    digest: Digest
    size: Size
    requested: bool = False

    @model_validator(mode="after")
    def _named_as_its_file(self) -> Self:
        name, version, _, _ = parse_wheel_filename(self.filename)  # InvalidWheelFilename is a ValueError
        if name != self.name or version != Version(self.version):
            msg = f"{self.filename} is not a wheel of {self.name} {self.version}"
            raise ValueError(msg)
        return self


class LockedDeb(_Value):
    """A Debian package."""

    name: Name
    version: Name
    architecture: Name
    digest: Digest
    size: Size

    @property
    def label(self) -> str:
        """As dpkg writes it: `libc6 2.41-12 amd64`."""
        return f"{self.name} {self.version} {self.architecture}"


class LockedTree(_Value):
    """A file tree of the project, as the manifest has it, and the digest of what was there."""

    source: Name
    target: Name
    exclude: Annotated[tuple[str, ...], BeforeValidator(_tuple)] = ()
    owner: str = "0:0"
    digest: Digest

    @property
    def tree(self) -> FileTree:
        """What to read again. Raises ValueError where the lock holds what no manifest may."""
        return FileTree(source=self.source, target=self.target, exclude=self.exclude, owner=self.owner)

    @model_validator(mode="after")
    def _as_in_a_manifest(self) -> Self:
        _ = self.tree
        return self


class LockedLayer(_Value):
    """One layer: what is in it, and its bytes.

    `contents` names wheels, Debian packages or targets of trees of the same platform. `digest` and `size` are those
    of the compressed layer, `diff-id` that of the tar, `mtree` that of the layer's mtree text (schema/layer-recipe.md).
    """

    kind: Literal["debian", "venv", "wheels", "files"]
    contents: Annotated[tuple[Name, ...], BeforeValidator(_tuple)] = ()
    digest: Digest
    size: Size
    diff_id: Digest
    mtree: Digest


class BaseLayer(_Value):
    """A layer of a base image, taken as it is."""

    media_type: Name
    digest: Digest
    size: Size
    diff_id: Digest


class LockedBase(_Value):
    """What the image stands on: an image by digest, or Debian packages.

    For an image: its `reference`, the `manifest` that was chosen for the platform, its `config` and `layers`. For
    Debian packages: the `suite`, and the `snapshot` time that its archive was read at, if the manifest names one.
    `facts` is what was read out of either.
    """

    kind: Literal["image", "debian"]
    reference: str | None = None
    manifest: Digest | None = None
    config: Digest | None = None
    suite: str | None = None
    snapshot: Moment | None = None
    facts: BaseFacts
    layers: Annotated[tuple[BaseLayer, ...], BeforeValidator(_tuple)] = ()


class LockedImage(_Value):
    """The finished image: the digests of its config and manifest, the manifest's size and that of all its blobs."""

    manifest: Digest
    manifest_size: Size
    config: Digest
    size: Size


class PlatformContents(_Value):
    """Everything that the image of one platform is made of.

    `base-request` and `package-request` are digests of what was asked of the resolvers. While they stay the same,
    so do the answers.
    """

    platform: Annotated[Platform, BeforeValidator(_platform)]
    base_request: Digest
    package_request: Digest
    base: LockedBase
    debs: Annotated[tuple[LockedDeb, ...], BeforeValidator(_tuple)] = ()
    wheels: Annotated[tuple[LockedWheel, ...], BeforeValidator(_tuple)] = ()
    trees: Annotated[tuple[LockedTree, ...], BeforeValidator(_tuple)] = ()
    layers: Annotated[tuple[LockedLayer, ...], BeforeValidator(_tuple)] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Every piece of content is in exactly one layer, and every layer holds only what the lock names."""
        named = {
            "debian": [deb.name for deb in self.debs],
            "wheels": [wheel.name for wheel in self.wheels],
            "files": [tree.target for tree in self.trees],
            "venv": [],
        }
        for kind, names in named.items():
            placed = [name for layer in self.layers if layer.kind == kind for name in layer.contents]
            if Counter(placed) != Counter(names) or len(set(names)) != len(names):
                msg = f"the layers of kind {kind!r} do not hold each locked item once"
                raise ValueError(msg)
        return self

    def wheel(self, name: str) -> LockedWheel:
        """The wheel of that name."""
        return next(wheel for wheel in self.wheels if wheel.name == name)


class LockedPlatform(PlatformContents):
    """One platform: what its image is made of, and the image."""

    image: LockedImage


class Lock(_Value):
    """A whole lock. `manifest` is the digest of the environment manifest's canonical form."""

    version: Annotated[Literal[1], BeforeValidator(_integer)] = LOCK_VERSION
    recipe: Annotated[Literal[1], BeforeValidator(_integer)] = RECIPE_VERSION
    manifest: Digest
    index: Digest | None = None
    requirements: Annotated[tuple[LockedRequirements, ...], BeforeValidator(_tuple)] = ()
    environment: Environment
    container: Container
    resources: Resources = Resources()
    cuda: Cuda = Cuda()
    models: Annotated[tuple[Model, ...], BeforeValidator(_tuple)] = ()
    platforms: Annotated[tuple[LockedPlatform, ...], BeforeValidator(_tuple), Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if tuple(p.platform for p in self.platforms) != self.environment.platforms:
            msg = "the platforms are not those of the environment"
            raise ValueError(msg)
        return self

    @property
    def image_digest(self) -> Digest:
        """What the finished environment is called: the index where there are several platforms, else the manifest."""
        return self.index or self.platforms[0].image.manifest

    def of(self, platform: Platform) -> LockedPlatform | None:
        """The part for one platform."""
        return next((one for one in self.platforms if one.platform == platform), None)

    def to_toml(self) -> str:
        """The bytes of mlenv.lock, as text."""
        header = "# Made by `mlenv lock` from mlenv.toml. Do not edit: a digest below would no longer be true.\n"
        return header + write_toml(self.model_dump(by_alias=True, exclude_none=True))

    @classmethod
    def parse(cls, text: str, *, filename: str = "mlenv.lock") -> Self:
        """Read a lock; LockFormatError says all that is wrong with it."""
        if has_deep_key(text):
            raise LockFormatError("a key of more than 32 parts", where=filename, hint=_RELOCK)
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError alone: an integer of thousands of digits
            raise LockFormatError(f"not TOML: {error}", where=filename, hint=_RELOCK) from None
        version = document.get("version")
        if version != LOCK_VERSION:
            raise LockFormatError(
                f"lock version {version!r}, this mlenv reads {LOCK_VERSION}",
                where=filename,
                hint="use the mlenv that made it, or a newer one",
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            problems = [
                Problem(_sentence(one["msg"]), f"{filename} {_dotted(one['loc'])}", _RELOCK)
                for one in error.errors(include_url=False, include_context=False)
                if not str(one["loc"][-1:]).startswith("('is-instance[")  # half of what is said of one digest
            ]
            raise LockFormatError(problems=problems) from None


_RELOCK = "restore the file from version control, or remove it and run `mlenv lock`"


def _sentence(message: str) -> str:
    """What pydantic says, in our words."""
    if message == "Extra inputs are not permitted":
        return "unknown key"
    return message.removeprefix("Value error, ").replace("Input should be", "should be").replace("Field req", "is req")


def _dotted(location: tuple[int | str, ...]) -> str:
    """`platforms[0].wheels[3].size` out of pydantic's tuple."""
    text = ""
    for part in location:
        if isinstance(part, str) and part.startswith("function-"):
            continue  # pydantic's name for a way to read a digest
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
