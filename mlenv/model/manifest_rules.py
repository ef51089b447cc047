"""What no single value of mlenv.toml can know: names that are used twice, paths that hide one another.

Every rule is a function from the parts of the manifest that could be read to the contradictions between them, so that
one wrong value in a file does not hide the rest.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

from mlenv.model.digest import Digest
from mlenv.model.manifest import (
    Base,
    Container,
    Cuda,
    Environment,
    EnvironmentManifest,
    FileTree,
    Gpus,
    Model,
    Python,
    Resources,
    System,
)
from mlenv.model.toml_file import Contradiction
from mlenv.model.toml_places import Path, dotted

OUR_LABELS = frozenset(
    f"org.opencontainers.image.{name}"
    for name in ("created", "title", "version", "description", "ref.name", "base.name", "base.digest")
)
"""Labels that mlenv writes itself; so are all that begin with `dev.mlenv.`."""


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections of a manifest that could be read; None stands for what could not, or is not there."""

    environment: Environment | None = None
    base: Base | None = None
    python: Python | None = None
    system: System | None = None
    cuda: Cuda | None = None
    models: tuple[Model | None, ...] = ()
    files: tuple[FileTree | None, ...] = ()
    container: Container | None = None
    resources: Resources | None = None

    @classmethod
    def of(cls, manifest: EnvironmentManifest) -> "Sections":
        """All sections of a manifest."""
        return cls(**{field.name: getattr(manifest, field.name) for field in fields(cls)})


def contradictions(sections: Sections) -> Iterator[Contradiction]:
    """Everything in which the sections contradict themselves or one another."""
    yield from _duplicates(sections)
    if sections.base:
        yield from _base(sections.base)
    if sections.python:
        yield from _indexes(sections.python)
    yield from _mounts(sections)
    if sections.container:
        yield from _container(sections.container)
    if sections.resources and sections.resources.gpus:
        yield from _gpus(sections.resources.gpus)


def unpinned(sections: Sections, digests: Mapping[str, Digest]) -> Iterator[Contradiction]:
    """An image that is named by its tag alone; `digests` are those that are known to be its digests now."""
    base = sections.base
    if base is None or base.image is None or base.image_digest is not None:
        return
    now = digests.get(base.image)
    is_now = f", which is {now} now" if now else ""
    yield Contradiction(
        ("base", "image"),
        f"the image {base.image!r} has no digest{is_now}",
        f'write "{base.image}@{now}", or run `mlenv pin`' if now else "run `mlenv pin`, which writes the digest in",
    )


def _duplicates(sections: Sections) -> Iterator[Contradiction]:
    lists: dict[Path, Iterable[Hashable]] = {
        ("models", "name"): [model and model.name for model in sections.models],
        ("models", "path"): [model and model.path for model in sections.models],
        ("files", ""): [tree and (tree.source, tree.target) for tree in sections.files],
    }
    if sections.environment:
        lists["environment", "platforms"] = sections.environment.platforms
    if sections.base and sections.base.debian:
        lists["base", "debian", "packages"] = sections.base.debian.packages
    if sections.system:
        lists["system", "packages"] = sections.system.packages
    if sections.cuda:
        lists["cuda", "architectures"] = sections.cuda.architectures
    if sections.python:
        for key in ("packages", "requirements", "find-links"):
            lists["python", key] = getattr(sections.python, key.replace("-", "_"))
        lists["python", "indexes", "name"] = [index.name for index in sections.python.indexes]
    if sections.container:
        for key in ("ports", "volumes", "secrets"):
            lists["container", key] = getattr(sections.container, key)
    for path, values in lists.items():
        yield from _repeated(path, values)


def _repeated(path: Path, values: Iterable[Hashable]) -> Iterator[Contradiction]:
    """Values of an array that stand there before. The last part of an array of tables' path is the table's key."""
    table = path[-1] in {"name", "path", ""}
    array = path[:-1] if table else path
    inside = tuple(part for part in path[-1:] if table and part)
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if value is not None and first.setdefault(value, index) != index:
            there = dotted((*array, first[value], *inside))
            shown = " to ".join(value) if isinstance(value, tuple) else str(value)
            yield Contradiction((*array, index, *inside), f"{shown!r} stands in {there} already", "remove one of them")


def _base(base: Base) -> Iterator[Contradiction]:
    if base.image is not None and base.debian is not None:
        yield Contradiction(
            ("base", "debian"), "a base is an image or Debian packages, not both", "remove base.image or base.debian"
        )


def _indexes(python: Python) -> Iterator[Contradiction]:
    bound: dict[str, str] = {}
    for position, index in enumerate(python.indexes):
        for number, package in enumerate(index.packages):
            path = ("python", "indexes", position, "packages", number)
            if package in bound:
                yield Contradiction(
                    path,
                    f"{package!r} comes from the index {bound[package]!r} already",
                    "a package comes from one index only, so that no other one can replace it",
                )
            bound.setdefault(package, index.name)


def _within(inner: str, outer: str) -> bool:
    return inner != outer and inner.startswith(f"{outer.rstrip('/')}/")


def _mounts(sections: Sections) -> Iterator[Contradiction]:
    """A mounted model hides what the image has below it, and a volume hides a model."""
    volumes = sections.container.volumes if sections.container else ()
    for number, model in enumerate(sections.models):
        if model is None:
            continue
        path = ("models", number, "path")
        for other in sections.models:
            if other and _within(model.path, other.path):
                yield Contradiction(
                    path,
                    f"{model.path!r} lies within the model {other.name!r} at {other.path!r}",
                    "choose another path",
                )
        for tree in sections.files:
            if tree and (tree.target == model.path or _within(tree.target, model.path)):
                yield Contradiction(
                    path, f"the model would hide the files placed at {tree.target!r}", "choose another path"
                )
        for volume in volumes:
            if volume == model.path or _within(model.path, volume):
                yield Contradiction(path, f"the volume {volume!r} would hide the model", "choose another path")


def _container(container: Container) -> Iterator[Contradiction]:
    for name in container.secrets:
        if name in container.env:
            yield Contradiction(
                ("container", "env", name),
                f"{name!r} is a secret, and a secret has no value here",
                "remove the value; the container gets it when it starts",
            )
    for label in container.labels:
        if label in OUR_LABELS or label.startswith("dev.mlenv."):
            yield Contradiction(("container", "labels", label), f"mlenv writes the label {label!r} itself", "remove it")


def _gpus(gpus: Gpus) -> Iterator[Contradiction]:
    if gpus.count is not None and gpus.mig is not None:
        yield Contradiction(
            ("resources", "gpus", "mig"), "GPUs are counted or are a MIG slice, not both", "remove count or mig"
        )
