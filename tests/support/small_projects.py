"""A project that locks and builds in a second without any network: a made base, and wheels of a few bytes."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.made_images import File, MadeImage, make_image, tar_of
from support.refusals import MANIFEST, Project
from support.wheels import Part, wheel_parts, zip_bytes


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    needs: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """A well-formed wheel that holds one module, or `files`."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {need}\n" for need in needs
    )
    wheel = f"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: {str(tag.endswith('any')).lower()}\nTag: {tag}\n"
    contents = {f"{name}.py": f"version = {version!r}\n".encode()} if files is None else files
    parts = wheel_parts(
        [Part(path, data) for path, data in contents.items()],
        name=name,
        version=version,
        metadata=metadata,
        wheel=wheel,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    path.write_bytes(zip_bytes(parts))
    return path


def make_project(folder: Path, packages: Sequence[str] = ("demo",), base: Mapping[str, File] | None = None) -> Project:
    """A project that is not locked yet, with the wheels `demo` 1.0 and `other` 1.0 in its folder of wheels."""
    project = Project(folder / "project", folder / "cache")
    project.root.mkdir(parents=True)
    for name in ("tmp", "empty-index"):
        (folder / name).mkdir()
    made = make_base(project, base)
    for name in ("demo", "other"):
        make_wheel(project.root / "wheels", name)
    names = ", ".join(f'"{package}"' for package in packages)
    project.manifest.write_text(MANIFEST.format(base=made.manifest, packages=names))
    return project


def make_base(project: Project, files: Mapping[str, File] | None = None, architecture: str = "amd64") -> MadeImage:
    """A base image in the project's `base` folder, in the place of an earlier one."""
    layout = project.root / "base"
    shutil.rmtree(layout, ignore_errors=True)
    if files is None:
        return make_image(layout, architecture=architecture)
    return make_image(layout, [tar_of(files)], architecture=architecture)


def use_base(project: Project, files: Mapping[str, File] | None = None, architecture: str = "amd64") -> MadeImage:
    """Another base, and its digest in mlenv.toml."""
    text = project.manifest.read_text()
    old = text.partition("oci:base@")[2].partition('"')[0]
    made = make_base(project, files, architecture)
    project.manifest.write_text(text.replace(old, made.manifest))
    return made


def copy_project(project: Project, folder: Path) -> Project:
    """The same project, cache included, at another place."""
    copied = Project(folder / "project", folder / "cache", dict(project.environ))
    shutil.copytree(project.root, copied.root, symlinks=True)
    if project.cache.exists():
        shutil.copytree(project.cache, copied.cache)
    for name in ("tmp", "empty-index"):
        (folder / name).mkdir()
    return copied
