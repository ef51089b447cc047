"""File trees of the project: what is taken, what it becomes, what is refused."""

import gzip
import io
import os
import socket
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlenv.errors import ManifestError, RefusedError, UnavailableError
from mlenv.layers.entry import Entry, EntryType, FileContent
from mlenv.layers.layer import complete, write_layer
from mlenv.layers.tree import ALWAYS_EXCLUDED, tree_digest, tree_entries
from mlenv.model.digest import Digest
from mlenv.model.globs import matcher
from mlenv.model.manifest import FileTree


def tree(**values: object) -> FileTree:
    return FileTree.model_validate({"source": "app", "target": "/app", **values})


def write(path: Path, data: bytes = b"x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def read(project: Path, **values: object) -> dict[str, Entry]:
    return {entry.path: entry for entry in tree_entries(project, tree(**values))}


def refusals(project: Path, **values: object) -> list[tuple[str, str]]:
    with pytest.raises(ManifestError) as caught:
        tree_entries(project, tree(**values))
    assert all(problem.hint for problem in caught.value.problems)
    return [(Path(problem.where).name, problem.message) for problem in caught.value.problems]


def test_a_folder_becomes_the_target_with_all_that_is_in_it(tmp_path: Path) -> None:
    file = write(tmp_path / "app/pkg/mod.py", b"print()\n")
    (tmp_path / "app/empty").mkdir()
    found = read(tmp_path, owner="7:8")
    assert sorted(found) == ["app", "app/empty", "app/pkg", "app/pkg/mod.py"]
    assert found["app/pkg/mod.py"] == Entry(
        path="app/pkg/mod.py",
        type=EntryType.FILE,
        mode=0o644,
        uid=7,
        gid=8,
        content=FileContent(file, 8, Digest.of(b"print()\n")),
        origin="files app",
    )
    assert {found[path].type for path in ("app", "app/empty", "app/pkg")} == {EntryType.DIRECTORY}
    assert all((entry.uid, entry.gid) == (7, 8) for entry in found.values())


def test_a_file_becomes_the_target(tmp_path: Path) -> None:
    write(tmp_path / "serve.py")
    assert list(read(tmp_path, source="serve.py", target="/srv/main.py")) == ["srv/main.py"]


def test_a_single_file_that_is_named_is_taken_whatever_is_excluded(tmp_path: Path) -> None:
    write(tmp_path / "m.pyc")
    assert list(read(tmp_path, source="m.pyc", target="/m.pyc", exclude=["*"])) == ["m.pyc"]


@pytest.mark.parametrize(
    ("mode", "becomes"), [(0o600, 0o644), (0o666, 0o644), (0o654, 0o644), (0o700, 0o755), (0o4755, 0o755)]
)
def test_the_mode_tells_only_whether_the_owner_may_execute(tmp_path: Path, mode: int, becomes: int) -> None:
    write(tmp_path / "app/f", mode=mode)
    assert read(tmp_path)["app/f"].mode == becomes


def test_umask_times_and_order_of_creation_change_nothing(tmp_path: Path) -> None:
    digests = set()
    for number, (mask, order) in enumerate([(0o022, "abc"), (0o077, "cab"), (0o000, "bca")]):
        project = tmp_path / str(number)
        before = os.umask(mask)
        try:
            for name in order:
                (project / "app/d").mkdir(parents=True, exist_ok=True)
                (project / "app/d" / name).write_bytes(name.encode())
                os.utime(project / "app/d" / name, (number, number))
        finally:
            os.umask(before)
        digests.add(tree_digest(tree_entries(project, tree())))
    assert len(digests) == 1


def test_the_digest_names_every_field(tmp_path: Path) -> None:
    write(tmp_path / "app/f", b"one")
    (tmp_path / "app/l").symlink_to("f")

    def now(**values: object) -> Digest:
        return tree_digest(tree_entries(tmp_path, tree(**values)))

    digests = [now(), now(owner="1:0"), now(owner="0:1"), now(target="/other")]
    (tmp_path / "app/f").chmod(0o755)
    digests.append(now())
    write(tmp_path / "app/f", b"two")
    digests.append(now())
    (tmp_path / "app/l").unlink()
    (tmp_path / "app/l").symlink_to("./f")
    digests.append(now())
    (tmp_path / "app/g").mkdir()
    digests.append(now())
    assert len(set(digests)) == len(digests)


def test_the_digest_does_not_change_under_its_recipe(tmp_path: Path) -> None:
    write(tmp_path / "app/run", b"#!/bin/sh\n", 0o755)
    (tmp_path / "app/é").symlink_to("run")
    digest = tree_digest(tree_entries(tmp_path, tree()))
    # sha256 of these lines, their fields divided by NUL; made with printf and sha256sum
    script = (
        r"{ printf 'app\0directory\0%s\0000\0000\000\n' 0755;"
        r" printf 'app/run\0file\0%s\0000\0000\00010\0sha256:%s\n' 0755"
        r" $(printf '#!/bin/sh\n' | sha256sum | cut -c1-64);"
        r" printf 'app/\303\251\0symlink\0%s\0000\0000\000run\n' 0777; } | sha256sum"
    )
    printed = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    assert digest.hex == printed.split()[0]


def test_links_inside_the_tree_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "app/a/b/file")
    links = {"x": "a/b/file", "a/y": "../a/b", "a/b/z": "../../x", "dangling": "not-there", "a/here": "."}
    for name, target in links.items():
        (tmp_path / "app" / name).symlink_to(target)
    found = read(tmp_path)
    for name, target in links.items():
        assert (found[f"app/{name}"].type, found[f"app/{name}"].link) == (EntryType.SYMLINK, target)
    assert "app/a/y/file" not in found  # links are not followed


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../secret", "d/../../secret", "here/../..", "d/..", "./../x", "a\\b", "a\nb"]
)
def test_links_that_could_leave_the_tree_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "app/d").mkdir(parents=True)
    (tmp_path / "app/here").symlink_to(".")
    (tmp_path / "app/link").symlink_to(target)
    ((name, message),) = refusals(tmp_path)
    assert name == "link"
    assert "symbolic link" in message


def test_a_link_one_folder_down_may_go_up_once(tmp_path: Path) -> None:
    (tmp_path / "app/d").mkdir(parents=True)
    (tmp_path / "app/d/up").symlink_to("..")
    assert read(tmp_path)["app/d/up"].link == ".."
    (tmp_path / "app/d/out").symlink_to("../..")
    assert [name for name, _ in refusals(tmp_path)] == ["out"]


def test_what_cannot_be_in_an_image_is_refused_all_at_once(tmp_path: Path) -> None:
    write(tmp_path / "app/ok")
    os.mkfifo(tmp_path / "app/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "app/sock"))
        (tmp_path / "app/abs").symlink_to("/etc/hosts")
        found = refusals(tmp_path)
    assert [name for name, _ in found] == ["abs", "pipe", "sock"]
    assert [message for _, message in found][1:] == ["it is a named pipe", "it is a socket"]
    assert read(tmp_path, exclude=["pipe", "sock", "abs"]).keys() == {"app", "app/ok"}


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    os.mknod(os.fsencode(tmp_path / "app") + b"/caf\xe9")
    assert refusals(tmp_path) == [("caf\\udce9", "its name is not UTF-8")]


def test_a_source_that_is_a_link_or_lies_behind_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "outside/app/f")
    project = tmp_path / "project"
    project.mkdir()
    (project / "app").symlink_to("../outside/app")
    (project / "behind").symlink_to("../outside")
    for source in ("app", "behind/app", "behind/app/f"):
        assert "symbolic link" in refusals(project, source=source)[0][1]


def test_a_source_that_is_missing_says_so(tmp_path: Path) -> None:
    assert refusals(tmp_path, source="nowhere") == [("nowhere", "there is no such file or folder")]
    write(tmp_path / "file")
    assert refusals(tmp_path, source="file/below") == [("below", "there is no such file or folder")]


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be read: File name too long"):
        tree_entries(tmp_path, tree(source="a" * 300))


def test_a_tree_cannot_reach_a_folder_that_is_taken_from_above(tmp_path: Path) -> None:
    write(tmp_path / "app/venv/bin/python")
    ((name, message),) = refusals(tmp_path, target="/opt")[:1]
    assert name == "venv"
    assert "/opt/venv" in message


def test_the_same_things_are_always_left_out(tmp_path: Path) -> None:
    for name in (".git/HEAD", "a/__pycache__/m.pyc", "m.pyc", ".DS_Store", "a/.venv/x", "mlenv.lock", "keep"):
        write(tmp_path / "app" / name)
    assert set(read(tmp_path)) == {"app", "app/a", "app/keep"}
    assert ".git" in ALWAYS_EXCLUDED


def test_the_whole_project_can_be_the_source(tmp_path: Path) -> None:
    write(tmp_path / "mlenv.toml")
    write(tmp_path / "mlenv.lock")
    assert set(read(tmp_path, source=".")) == {"app", "app/mlenv.toml"}


def test_deep_trees_are_refused(tmp_path: Path) -> None:
    (tmp_path / "app" / "/".join("d" * 66)).mkdir(parents=True)
    assert refusals(tmp_path)[0][1].startswith("more than 64")


PATTERNS = [
    *("*.log", "build", "/build", "build/", "a/b", "a/*", "a/**", "**/b", "**/b/c", "a/**/c", "?.txt", "[ab].txt"),
    *("[!a].txt", "[a-c]", "*", "**", "x[", "[]x]", "a/b/", "/a/", "**/*.log", "*.l?g", "b*/", "[.]git", "a/[!b]*"),
    *("[^a].txt", "a**b", "***.log", "a/**b"),
]
PATHS = [
    *("x.log", "a/x.log", "a/b/x.log", "build/o", "a/build/o", "a/b/c", "a/c", "b/c", "a.txt", "b.txt", "a/a.txt"),
    *("a/b/build", "a/x/y/c", "c", "x[", "]", "x]", "bb/f", "axb", "a/xb", "^.txt", "a/^b", "z"),
]


def test_patterns_mean_what_git_takes_them_for(tmp_path: Path, require_tool: Callable[[str], Path]) -> None:
    """Every pattern over every path, folders around it included, against `git check-ignore`."""
    folders = {str(parent) for path in PATHS for parent in Path(path).parents} - {"."}
    names = sorted(folders | set(PATHS))
    for name in folders:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    for name in set(PATHS) - folders:
        write(tmp_path / name)
    git = [str(require_tool("git")), "-C", str(tmp_path), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    for pattern in PATTERNS:
        (tmp_path / ".git/info/exclude").write_text(pattern + "\n")
        checked = subprocess.run(
            [*git, "check-ignore", "-z", "--stdin"], input="\0".join(names), capture_output=True, text=True, check=False
        )
        matches = matcher([pattern])
        ours = {
            name
            for name in names
            if matches(name, name in folders)
            or any(matches(str(parent), True) for parent in Path(name).parents if str(parent) != ".")
        }
        assert ours == set(checked.stdout.split("\0")) - {""}, pattern


def test_a_range_that_runs_backwards_holds_nothing() -> None:
    assert not matcher(["[z-a]"])("z", False)
    assert matcher(["[!z-a]"])("z", False)


def layer(project: Path) -> bytes:
    chunks: list[bytes] = []
    write_layer(complete(tree_entries(project, tree())), chunks.append)
    return b"".join(chunks)


def test_a_tree_becomes_a_layer_that_tar_reads(tmp_path: Path) -> None:
    write(tmp_path / "app/big", b"0123456789" * 300_000, 0o755)
    (tmp_path / "app/link").symlink_to("big")
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer(tmp_path)))) as tar:
        found = {member.name: member for member in tar}
        assert list(found) == ["app", "app/big", "app/link"]
        big = tar.extractfile("app/big")
        assert big is not None
        assert big.read() == b"0123456789" * 300_000
    assert (found["app/big"].mode, found["app/big"].mtime, found["app/link"].linkname) == (0o755, 315532800, "big")


@pytest.mark.parametrize("attack", ["same size", "longer", "shorter", "link", "gone"])
def test_a_file_that_is_swapped_between_hash_and_use_is_refused(tmp_path: Path, attack: str) -> None:
    file = write(tmp_path / "app/f", b"what was hashed")
    entries = complete(tree_entries(tmp_path, tree()))
    if attack in {"link", "gone"}:
        file.unlink()
    if attack == "link":
        file.symlink_to(write(tmp_path / "outside", b"what was hashed"))
    elif attack != "gone":
        file.write_bytes({"same size": b"what is written", "longer": b"what was hashed!", "shorter": b"what"}[attack])
    with pytest.raises(RefusedError, match="changed"):
        write_layer(entries, lambda _: None)
