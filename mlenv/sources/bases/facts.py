"""Reads what resolving needs to know of a base out of its files: libc, interpreter, distribution, CUDA.

One path for every base: `read_facts` takes entries, whether they come from the tars of an image's layers
(`tar_files`) or from packages that are about to become a layer (`entry_files`). Nothing of the base is run, and
nothing of this machine is looked at.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from mlenv.errors import ResolutionError
from mlenv.layers.content import Reader
from mlenv.layers.entry import Entry, EntryType
from mlenv.model.facts import BaseFacts
from mlenv.model.platform import Platform
from mlenv.model.strict_json import shown
from mlenv.oci.tar_reader import Stream, TarKind, TarReader
from mlenv.sources.bases.candidates import Binary, Text, read_candidate
from mlenv.sources.bases.root_tree import Link, RootTree

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CUDA = ("CUDA_VERSION", "NVIDIA_REQUIRE_CUDA", "NV_CUDNN_VERSION", "NCCL_VERSION")
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9._+~-]")  # os-release(5) allows fewer still
_NAME = re.compile(r"python3\.(\d{1,2})")
_VENV, _TAKEN = "opt/venv", "a file where ours would go"
_MACHINES = {62: "amd64", 183: "arm64"}


@dataclass(frozen=True, slots=True)
class BaseFile:
    """A file of a layer, in the layer's order. `read` gives its bytes and is called at most once, before the next."""

    path: str
    kind: TarKind
    size: int
    link: str
    read: Callable[[], Iterable[bytes]]


def tar_files(tar: Stream) -> Iterator[BaseFile]:
    """The files of an uncompressed layer."""
    reader = TarReader(tar)
    for entry in reader:
        yield BaseFile(entry.path, entry.kind, entry.size, entry.link, reader.chunks)


def entry_files(entries: Iterable[Entry]) -> Iterator[BaseFile]:
    """The files of a layer of our own; only stored and generated content, which is all that packages have."""
    kinds = {
        EntryType.FILE: TarKind.FILE,
        EntryType.DIRECTORY: TarKind.DIRECTORY,
        EntryType.SYMLINK: TarKind.SYMLINK,
    }
    reader = Reader()
    for entry in entries:
        content = entry.content
        size = content.size if content is not None else 0
        read = partial(reader.pieces, content) if content is not None else tuple
        yield BaseFile(entry.path, kinds[entry.type], size, entry.link, read)


def read_facts(
    layers: Iterable[Iterable[BaseFile]],
    environment: Mapping[str, str],
    platform: Platform,
    *,
    wanted: str | None = None,
) -> BaseFacts:
    """The facts of the root file system that `layers` make, the lowest first.

    `environment` is that of the image's config. `wanted` is major.minor of the interpreter that the user asks for;
    without it the highest in the first directory of PATH that has any is taken. Raises ResolutionError where the
    base has no such Python, one for another processor, or something at /opt/venv; RefusedError where a layer is broken.
    """
    tree = RootTree()
    for layer in layers:
        tree.begin_layer()
        for file in layer:
            _lay(tree, file)
    tree.end()
    distribution = _distribution(tree)
    path, binary, python = _interpreter(tree, environment.get("PATH") or DEFAULT_PATH, wanted, distribution)
    if binary.machine != platform.elf_machine:
        raise ResolutionError(
            f"the base's {path} is not for {platform.architecture} but {_MACHINES.get(binary.machine, 'another one')}",
            hint=f"choose a base for {platform}",
        )
    if any(tree.names(_VENV)):
        raise ResolutionError(
            "the base has a virtual environment at /opt/venv already, whose packages no lock would name",
            hint="use the image that it was made on as the base, and name its packages in mlenv.toml",
        )
    libc, version = _libc(tree, binary, platform)
    return BaseFacts(
        libc=libc,  # type: ignore[arg-type]
        libc_version=version,
        interpreter=path,
        python=python,
        distribution=distribution,
        cuda={name: environment[name] for name in _CUDA if environment.get(name)},
    )


def _lay(tree: RootTree, file: BaseFile) -> None:
    match file.kind:
        case TarKind.DIRECTORY:
            tree.directory(file.path)
        case TarKind.SYMLINK:
            tree.put(file.path, Link(file.link[:4096]))
        case TarKind.HARDLINK:
            tree.put(file.path, tree.get(file.link))
        case TarKind.FILE:
            found = read_candidate(file.path, file.size, file.read())
            tree.put(file.path, found or (_TAKEN if file.path.startswith(f"{_VENV}/") else None))
        case TarKind.OTHER:
            tree.put(file.path, None)


def _distribution(tree: RootTree) -> str:
    for path in ("etc/os-release", "usr/lib/os-release"):
        text = tree.get(path)
        if isinstance(text, Text):
            values = dict(_assignments(text.data.decode("utf-8", "replace")))
            words = (values.get("ID", "linux"), values.get("VERSION_ID", ""))
            return " ".join(filter(None, (_NOT_A_WORD.sub("", word)[:50] for word in words)))
    return ""


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            try:
                yield name, " ".join(shlex.split(value))
            except ValueError:  # an open quote
                yield name, value


def _interpreter(tree: RootTree, search: str, wanted: str | None, distribution: str) -> tuple[str, Binary, str]:
    """Path, file and version of the interpreter; the path has no link in it."""
    found: list[tuple[str, Binary, str]] = []
    for folder in dict.fromkeys(part for part in search.split(":") if part.startswith("/")):
        here = list(_in_folder(tree, folder))
        found += here
        fitting = [one for one in here if wanted in (None, _minor(one[2]))]
        if fitting:
            return max(fitting, key=lambda one: int(one[2].split(".")[1]))
    base = f"the base ({distribution})" if distribution else "the base"
    if not found:
        raise ResolutionError(
            f"{base} has no Python 3 in {shown(search)}",
            hint='choose a base with Python, or base.debian with packages = ["python3"]',
        )
    there = ", ".join(sorted({f"{version} ({path})" for path, _, version in found}))
    raise ResolutionError(
        f"{base} has no Python {wanted}; it has {there}",
        hint=f'set python.version = "{_minor(found[0][2])}", or choose a base with Python {wanted}',
    )


def _in_folder(tree: RootTree, folder: str) -> Iterator[tuple[str, Binary, str]]:
    for name in sorted(tree.names(folder), reverse=True):  # python3.12 before python3: the name that stays
        if _NAME.fullmatch(name) or name in ("python3", "python"):
            path, binary = tree.resolve(f"{folder}/{name}"), tree.get(f"{folder}/{name}")
            # The path goes into pyvenv.cfg and #! lines, which end at white space.
            usable = path is not None and path.isascii() and path.isprintable() and " " not in path
            if path is not None and usable and isinstance(binary, Binary) and binary.machine:
                named = _NAME.fullmatch(name) or _NAME.fullmatch(path.rpartition("/")[2])
                if version := _python_version(tree, path, binary, named.group(1) if named else ""):
                    yield path, binary, version


def _python_version(tree: RootTree, path: str, binary: Binary, minor: str) -> str:
    """The version in the interpreter's bytes, or in those of the library that it is a shell around."""
    prefix = path.rpartition("/")[0].rpartition("/")[0]
    binaries = [binary]
    for folder in (f"{prefix}/lib", f"{prefix}/lib64", *_library_folders()):
        named = (tree.get(f"{folder}/{name}") for name in tree.names(folder) if name.startswith("libpython3."))
        binaries += [library for library in named if isinstance(library, Binary)]
    for versions in (*(one.python for one in binaries), *(one.python_suffix for one in binaries)):
        fitting = [one for one in versions if not minor or one.split(".")[1] == minor]
        if fitting:
            return max(fitting, key=lambda one: [int(part) for part in re.findall(r"\d+", one)])
    return ""


def _library_folders() -> tuple[str, ...]:
    multiarch = tuple(f"usr/lib/{one.multiarch}" for one in Platform)
    return (*multiarch, "usr/lib", "usr/lib64", "usr/local/lib", "lib", "lib64", *(f[4:] for f in multiarch))


def _libc(tree: RootTree, binary: Binary, platform: Platform) -> tuple[str, str]:
    """Family and major.minor of the C library that the interpreter's loader belongs to."""
    if "ld-musl" in binary.loader:
        library = tree.get(binary.loader)
        versions = library.musl if isinstance(library, Binary) else ()
        if len(versions) == 1:
            return "musl", _minor(versions[0])
    else:
        for folder in (
            f"lib/{platform.multiarch}",
            f"usr/lib/{platform.multiarch}",
            "lib64",
            "usr/lib64",
            "lib",
            "usr/lib",
        ):
            library = tree.get(f"{folder}/libc.so.6")
            if isinstance(library, Binary) and library.machine == platform.elf_machine and len(library.glibc) == 1:
                return "glibc", library.glibc[0]
    raise ResolutionError(
        f"the base has no C library that can be recognised (the interpreter's loader is {shown(binary.loader)!r})",
        hint="choose a base with glibc or musl; a Python that is linked statically can't load binary wheels",
    )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
