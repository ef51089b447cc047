"""Resolving with uv: indexes made here for the attacks, the machine's own index for real packages."""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.index import Served, serve, write_pages, write_wheel

from mlenv.errors import DigestMismatchError, ManifestError, MlenvError, ResolutionError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.sources.cache import Cache
from mlenv.sources.fetch import Fetch, fetch_all
from mlenv.sources.packages.resolve import (
    BoundIndex,
    PackageRequest,
    PinnedWheel,
    PythonTarget,
    ResolvedWheel,
    locate_wheels,
    resolve_packages,
)

TRIXIE = PythonTarget(Platform.LINUX_AMD64, "glibc", "2.41", "3.13.5")
ARM = replace(TRIXIE, platform=Platform.LINUX_ARM64)
ALPINE = PythonTarget(Platform.LINUX_AMD64, "musl", "1.2", "3.12.11")


class World:
    """Two indexes, a public and a private one, and an environment in which uv knows only the public one."""

    def __init__(self, folder: Path, public: Served, private: Served) -> None:
        self.folder = folder
        self.public, self.private = public, private
        self.environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("UV_") and not name.lower().endswith("_proxy")
        }
        self.environ |= {
            "UV_DEFAULT_INDEX": f"{public.url}/",
            "UV_CACHE_DIR": str(folder / "uv-cache"),
            "UV_NO_CONFIG": "1",
            "UV_HTTP_RETRIES": "0",
        }

    def add(self, where: str, name: str, version: str, *, requires: tuple[str, ...] = (), text: str = "") -> Path:
        return self.add_file(where, name, version, "py3-none-any", requires, text)

    def add_file(
        self, where: str, name: str, version: str, tag: str, requires: tuple[str, ...] = (), text: str = ""
    ) -> Path:
        path = write_wheel(self.folder / where / name, name, version, tag=tag, requires=requires, text=text)
        write_pages(self.folder / where)
        return path

    def bound(self, *packages: str) -> BoundIndex:
        return BoundIndex("private", f"{self.private.url}/", packages)

    def resolve(self, *packages: str, target: PythonTarget = TRIXIE, **request: object) -> dict[str, ResolvedWheel]:
        asked = PackageRequest(packages, **request)  # type: ignore[arg-type]
        return {wheel.name: wheel for wheel in resolve_packages(asked, target, environ=self.environ)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "public").mkdir()
    (tmp_path / "private").mkdir()
    with serve(tmp_path / "public") as public, serve(tmp_path / "private") as private:
        yield World(tmp_path, public, private)


def test_the_answer_names_every_wheel_and_who_asked(world: World) -> None:
    app = world.add("public", "app", "1.0", requires=("dep>=1",))
    world.add("public", "dep", "1.5")
    found = world.resolve("app")
    assert sorted(found) == ["app", "dep"]
    assert found["app"] == ResolvedWheel(
        "app",
        "1.0",
        "app-1.0-py3-none-any.whl",
        Digest.of(app.read_bytes()),
        f"{world.public.url}/app/app-1.0-py3-none-any.whl",
        None,
        requested=True,
    )
    assert not found["dep"].requested


def test_a_higher_version_on_another_index_is_not_taken(world: World) -> None:
    world.add("public", "ours", "99.0", text="the attacker's")
    world.add("private", "ours", "1.0")
    found = world.resolve("ours", indexes=(world.bound("ours"),))
    assert (found["ours"].version, found["ours"].url.startswith(world.private.url)) == ("1.0", True)
    assert "/ours/" not in world.public.paths


def test_a_bound_package_that_only_another_one_needs_comes_from_its_index_too(world: World) -> None:
    world.add("public", "app", "1.0", requires=("ours",))
    world.add("public", "ours", "99.0", text="the attacker's")
    world.add("private", "ours", "1.0", requires=("also-ours",))
    world.add("public", "also-ours", "99.0")
    world.add("private", "also-ours", "1.0")
    found = world.resolve("app", indexes=(world.bound("ours", "also-ours"),))
    assert {name: wheel.version for name, wheel in found.items()} == {"app": "1.0", "ours": "1.0", "also-ours": "1.0"}
    assert not found["ours"].requested


def test_a_bound_package_in_a_requirements_file_comes_from_its_index(world: World, tmp_path: Path) -> None:
    world.add("public", "ours", "99.0")
    world.add("private", "ours", "1.0")
    (tmp_path / "requirements.txt").write_text("ours\n")
    found = world.resolve(requirements=(tmp_path / "requirements.txt",), indexes=(world.bound("ours"),))
    assert (found["ours"].version, found["ours"].requested) == ("1.0", True)


def test_nothing_but_the_bound_packages_comes_from_an_index(world: World) -> None:
    world.add("public", "app", "1.0")
    world.add("private", "app", "99.0")
    world.add("private", "ours", "1.0")
    found = world.resolve("app", "ours", indexes=(world.bound("ours"),))
    assert found["app"].version == "1.0"
    assert "/app/" not in world.private.paths


def test_a_bound_package_that_nobody_needs_is_left_out(world: World) -> None:
    world.add("public", "app", "1.0")
    world.add("private", "ours", "1.0", requires=("also-ours",))
    world.add("private", "also-ours", "1.0")
    assert list(world.resolve("app", indexes=(world.bound("ours", "also-ours"),))) == ["app"]
    assert list(world.resolve("app", indexes=(world.bound("there-is-none"),))) == ["app"]


def test_an_index_in_a_requirements_file_is_refused(world: World, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"# ours\n--extra-index-url {world.private.url}\napp\n")
    with pytest.raises(ManifestError) as caught:
        world.resolve(requirements=(file,))
    assert caught.value.problems[0].where == f"{file}:2"


def test_other_bytes_under_a_locked_name_are_refused(world: World) -> None:
    world.add("public", "app", "1.0")
    found = world.resolve("app")["app"]
    pin = PinnedWheel("app", "1.0", found.filename, found.sha256)
    request = PackageRequest(("app",))
    located = locate_wheels([pin], request, TRIXIE, environ=world.environ)
    assert located == {found.filename: found.url}
    world.add("public", "app", "1.0", text="the attacker's")
    world.environ["UV_CACHE_DIR"] += "-new"
    with pytest.raises(DigestMismatchError, match="another file under the name") as caught:
        locate_wheels([pin], request, TRIXIE, environ=world.environ)
    assert str(pin.sha256) in str(caught.value)


def test_a_locked_file_that_is_gone(world: World) -> None:
    world.add("public", "app", "2.0")
    pin = PinnedWheel("app", "1.0", "app-1.0-py3-none-any.whl", Digest.of(b""))
    with pytest.raises(UnavailableError, match="app"):
        locate_wheels([pin], PackageRequest(("app",)), TRIXIE, environ=world.environ)
    pin = replace(pin, version="2.0", filename="app-2.0-cp313-cp313-linux_x86_64.whl")
    with pytest.raises(UnavailableError, match=r"no index has app-2\.0-cp313"):
        locate_wheels([pin], PackageRequest(("app",)), TRIXIE, environ=world.environ)


def test_an_earlier_version_is_kept_until_told_otherwise(world: World) -> None:
    for version in ("1.0", "2.0"):
        world.add("public", "app", version)
        world.add("public", "dep", version)
    request = PackageRequest(("app", "dep"))
    kept = {"app": "1.0", "dep": "1.0", "gone": "7"}

    def versions(upgrade: bool | list[str]) -> list[str]:
        wheels = resolve_packages(request, TRIXIE, environ=world.environ, preferences=kept, upgrade=upgrade)
        return [wheel.version for wheel in wheels]

    assert versions(upgrade=False) == ["1.0", "1.0"]
    assert versions(upgrade=["Dep"]) == ["1.0", "2.0"]
    assert versions(upgrade=True) == ["2.0", "2.0"]
    assert world.resolve("app>1.5")["app"].version == "2.0"


def test_local_wheels(world: World, tmp_path: Path) -> None:
    path = write_wheel(tmp_path / "wheels here", "local", "1.0")
    found = world.resolve("local", find_links=(tmp_path / "wheels here",))["local"]
    assert found.sha256 == Digest.of(path.read_bytes())
    cache = Cache(tmp_path / "cache")
    fetch_all([Fetch(found.url, found.sha256, found.size, found.filename)], cache)
    assert cache.has(found.sha256)
    pin = PinnedWheel("local", "1.0", found.filename, found.sha256)
    request = PackageRequest(("local",), find_links=(tmp_path / "wheels here",))
    assert locate_wheels([pin], request, TRIXIE, environ=world.environ) == {found.filename: found.url}


def test_direct_references(world: World) -> None:
    path = world.add("public", "app", "1.0")
    url = f"{world.public.url}/app/{path.name}"
    for asked in (f"app @ {url}", f"app @ {path.as_uri()}"):
        found = world.resolve(asked)["app"]
        assert found.sha256 == Digest.of(path.read_bytes())
        assert found.url == asked.split(" @ ")[1]
        pin = PinnedWheel("app", "1.0", found.filename, found.sha256)
        request = PackageRequest((asked,))
        assert locate_wheels([pin], request, TRIXIE, environ=world.environ) == {path.name: found.url}


def test_hashes_of_a_requirements_file_hold(world: World, tmp_path: Path) -> None:
    path = world.add("public", "app", "1.0")
    file = tmp_path / "requirements.txt"
    file.write_text(
        f"app==1.0 \\\n    --hash=sha256:{Digest.of(path.read_bytes()).hex} \\\n    --hash=sha256:{'0' * 64}\n"
    )
    assert world.resolve(requirements=(file,))["app"].requested
    file.write_text(f"app==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(DigestMismatchError, match="no --hash of app"):
        world.resolve(requirements=(file,))


def test_nested_requirements_and_constraints(world: World, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        world.add("public", "app", version, requires=("dep",))
        world.add("public", "dep", version)
    (tmp_path / "more").mkdir()
    (tmp_path / "requirements.txt").write_text("-r more/base.txt\n-c more/limits.txt\n")
    (tmp_path / "more" / "base.txt").write_text("App  # comment\n")
    (tmp_path / "more" / "limits.txt").write_text("dep<2\n")
    found = world.resolve(requirements=(tmp_path / "requirements.txt",))
    assert [(wheel.version, wheel.requested) for wheel in found.values()] == [("2.0", True), ("1.0", False)]


def test_a_pylock_is_taken_as_it_is(world: World, tmp_path: Path) -> None:
    path = world.add("public", "app", "1.0")
    world.add("public", "app", "2.0")
    world.add("public", "more", "1.0", requires=("app",))
    lock = tmp_path / "pylock.toml"
    wheel = {"url": f"{world.public.url}/app/{path.name}", "sha256": Digest.of(path.read_bytes()).hex}
    lock.write_text(
        'lock-version = "1.0"\ncreated-by = "somebody"\n[[packages]]\nname = "app"\nversion = "1.0"\n'
        f"wheels = [{{ url = {json.dumps(wheel['url'])}, hashes = {{ sha256 = '{wheel['sha256']}' }} }}]\n"
        '[[packages]]\nname = "not-here"\nversion = "1.0"\nmarker = "sys_platform == \'win32\'"\n'
        f"wheels = [{{ name = 'not_here-1.0-py3-none-any.whl', path = 'x', hashes = {{ sha256 = '{'0' * 64}' }} }}]\n"
    )
    world.public.requests.clear()
    found = world.resolve(requirements=(lock,))
    assert [(one.name, one.version, one.url) for one in found.values()] == [("app", "1.0", wheel["url"])]
    assert not world.public.requests
    together = world.resolve("more", requirements=(lock,))
    assert {name: one.version for name, one in together.items()} == {"app": "1.0", "more": "1.0"}


def test_a_uv_lock_is_read_through_uv(world: World, tmp_path: Path) -> None:
    path = world.add("public", "app", "1.0")
    world.add("public", "tests-only", "1.0")
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "it"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["app"]\n'
        '[dependency-groups]\ndev = ["tests-only"]\n'
    )
    digest = Digest.of(path.read_bytes())
    source = f'{{ registry = "{world.public.url}/" }}'
    (project / "uv.lock").write_text(
        'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n'
        f'[[package]]\nname = "app"\nversion = "1.0"\nsource = {source}\n'
        f'wheels = [{{ url = "{world.public.url}/app/{path.name}", hash = "{digest}" }}]\n'
        '[[package]]\nname = "it"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [{ name = "app" }]\n'
        '[package.dev-dependencies]\ndev = [{ name = "tests-only" }]\n'
        '[package.metadata]\nrequires-dist = [{ name = "app" }]\n'
        '[package.metadata.requires-dev]\ndev = [{ name = "tests-only" }]\n'
        f'[[package]]\nname = "tests-only"\nversion = "1.0"\nsource = {source}\n'
        f'wheels = [{{ url = "{world.public.url}/x/tests_only-1.0-py3-none-any.whl", hash = "sha256:{"0" * 64}" }}]\n'
    )
    found = world.resolve(requirements=(project / "uv.lock",))
    assert [(one.name, one.sha256) for one in found.values()] == [("app", digest)]
    (project / "pyproject.toml").unlink()
    with pytest.raises(ManifestError, match="uv cannot read it"):
        world.resolve(requirements=(project / "uv.lock",))


def test_markers_are_the_targets(world: World) -> None:
    names = {
        "machine": "platform_machine == 'aarch64'",
        "system": "sys_platform == 'linux' and platform_system == 'Linux' and os_name == 'posix'",
        "full": "python_full_version == '3.13.5' and implementation_version == '3.13.5'",
        "host-kernel": "platform_release != '' or platform_version != ''",
        "host-python": "python_version == '3.11'",
    }
    for name in names:
        world.add("public", name, "1.0")
    found = world.resolve(*(f"{name}; {marker}" for name, marker in names.items()), target=ARM)
    assert sorted(found) == ["full", "machine", "system"]


def test_the_best_wheel_by_the_targets_tags(world: World) -> None:
    for tag in ("cp313-cp313-manylinux_2_17_x86_64", "cp313-cp313-manylinux_2_34_x86_64", "cp39-abi3-linux_x86_64"):
        world.add_file("public", "app", "1.0", tag)
    world.add_file("public", "app", "1.0", "cp313-cp313-musllinux_1_2_x86_64")
    world.add_file("public", "app", "1.0", "cp313-cp313-manylinux_2_28_aarch64")
    world.add_file("public", "app", "1.0", "py3-none-any")

    def tag_for(target: PythonTarget) -> str:
        return world.resolve("app", target=target)["app"].filename.removeprefix("app-1.0-").removesuffix(".whl")

    assert tag_for(TRIXIE) == "cp313-cp313-manylinux_2_34_x86_64"
    assert tag_for(replace(TRIXIE, libc_version="2.31")) == "cp313-cp313-manylinux_2_17_x86_64"
    assert tag_for(ARM) == "cp313-cp313-manylinux_2_28_aarch64"
    assert tag_for(replace(ALPINE, python="3.13.0")) == "cp313-cp313-musllinux_1_2_x86_64"
    assert tag_for(ALPINE) == "cp39-abi3-linux_x86_64"


def _refused(world: World, *packages: str, target: PythonTarget = TRIXIE, **request: object) -> MlenvError:
    with pytest.raises(MlenvError) as caught:
        world.resolve(*packages, target=target, **request)
    for problem in caught.value.problems:
        assert "\n" not in problem.message + problem.hint
        assert problem.message
        assert problem.hint
    return caught.value


def test_only_wheels_for_another_platform(world: World) -> None:
    world.add_file("public", "app", "1.0", "cp313-cp313-win_amd64")
    error = _refused(world, "app")
    assert isinstance(error, ResolutionError)
    assert "app 1.0" in str(error)
    assert "cp313-cp313-win_amd64" in str(error)
    assert "cp313-cp313-manylinux_2_41_x86_64" in str(error)


def test_only_wheels_for_an_older_python(world: World) -> None:
    world.add_file("public", "app", "1.0", "cp311-cp311-manylinux_2_17_x86_64")
    world.add("public", "needs-it", "1.0", requires=("app",))
    error = _refused(world, "needs-it")
    assert isinstance(error, ResolutionError)
    assert "cp311-cp311-manylinux_2_17_x86_64" in str(error)


def test_a_base_that_is_older_than_the_wheels(world: World) -> None:
    world.add_file("public", "app", "1.0", "cp313-cp313-manylinux_2_34_x86_64")
    error = _refused(world, "app", target=replace(TRIXIE, libc_version="2.31"))
    assert isinstance(error, ResolutionError)
    assert "manylinux_2_34_x86_64" in str(error)
    assert "manylinux_2_31_x86_64" in str(error)


def test_a_source_distribution_is_neither_used_nor_run(world: World, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "public" / "app").mkdir()
    with tarfile.open(tmp_path / "public" / "app" / "app-1.0.tar.gz", "w:gz") as archive:
        for name, text in {
            "setup.py": f"open({str(ran)!r}, 'w')\nfrom setuptools import setup\nsetup(name='app', version='1.0')\n",
            "PKG-INFO": "Metadata-Version: 1.0\nName: app\nVersion: 1.0\n",
        }.items():
            info = tarfile.TarInfo(f"app-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    write_pages(tmp_path / "public")
    error = _refused(world, "app")
    assert isinstance(error, ResolutionError)
    assert "only a source distribution" in str(error)
    assert "app 1.0" in str(error)
    assert not ran.exists()


def test_nothing_fits(world: World) -> None:
    world.add("public", "app", "1.0", requires=("dep<2",))
    world.add("public", "dep", "1.0")
    for asked in (("app", "dep>=2"), ("app==7",), ("there-is-none",)):
        error = _refused(world, *asked)
        assert isinstance(error, ResolutionError), asked
        assert asked[-1].split("=")[0].rstrip(">") in str(error)
        assert "x-mlenv" not in str(error)


def test_exclude_newer_hides_what_came_later(world: World) -> None:
    world.add("public", "app", "1.0")  # and an index that tells no times has nothing to show
    error = _refused(world, "app", exclude_newer=datetime(2025, 11, 1, tzinfo=UTC))
    assert isinstance(error, ResolutionError)


@pytest.mark.parametrize("asked", ["x @ git+https://127.0.0.1:9/x", "x @ https://127.0.0.1:9/x-1.tar.gz"])
def test_nothing_is_built_from_a_direct_reference(world: World, asked: str) -> None:
    assert isinstance(_refused(world, asked), ManifestError)


def test_folders_and_files_that_are_not_there(world: World, tmp_path: Path) -> None:
    assert isinstance(_refused(world, "app", find_links=(tmp_path / "none",)), ManifestError)
    assert isinstance(_refused(world, requirements=(tmp_path / "none.txt",)), ManifestError)
    assert isinstance(_refused(world, requirements=(tmp_path / "pylock.toml",)), ManifestError)
    assert _refused(world, "app @ file:///none/app-1-py3-none-any.whl").exit_status == 2


def test_no_network(world: World) -> None:
    world.environ["UV_DEFAULT_INDEX"] = "http://ada:secret@127.0.0.1:9/simple/"
    error = _refused(world, "app")
    assert isinstance(error, UnavailableError)
    assert "secret" not in str(error)
    assert isinstance(_refused(world, "app", offline=True), UnavailableError)


def test_offline_works_from_uvs_cache(world: World) -> None:
    world.add("public", "app", "1.0")
    world.resolve("app")
    world.public.requests.clear()
    assert world.resolve("app", offline=True)["app"].version == "1.0"
    assert not world.public.requests


@pytest.mark.parametrize("line", ["foo bar", "foo==", "foo>=1 <2", "-r missing.txt", "foo ; python_versoin > '3'"])
def test_a_wrong_line_is_the_manifests_error(world: World, tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"# one\n{line}\n")
    error = _refused(world, requirements=(tmp_path / "requirements.txt",))
    assert error.exit_status == 2, error


def test_a_wrong_requirement_in_the_manifest(world: World) -> None:
    assert isinstance(_refused(world, "foo bar"), ManifestError)


@pytest.mark.parametrize("text", ["", "nonsense", 'lock-version = "9.0"\ncreated-by = "x"\npackages = []\n'])
def test_a_wrong_pylock(world: World, tmp_path: Path, text: str) -> None:
    (tmp_path / "pylock.toml").write_text(text)
    assert isinstance(_refused(world, requirements=(tmp_path / "pylock.toml",)), ManifestError)


def test_an_index_without_hashes_is_hashed_by_uv_or_refused(world: World, tmp_path: Path) -> None:
    path = write_wheel(tmp_path / "public" / "app", "app", "1.0")
    write_pages(tmp_path / "public", hashes=False)
    try:
        outcome = str(world.resolve("app")["app"].sha256)
    except ResolutionError as error:  # uv 0.9 does not hash
        outcome = str(error)
    assert outcome in (str(Digest.of(path.read_bytes())), "no sha256 is given for app-1.0-py3-none-any.whl")


def test_the_users_variables_reach_the_index_and_change_nothing_else(world: World) -> None:
    for version in ("1.0", "2.0"):
        world.add("public", "app", version)
    (world.folder / "limits.txt").write_text("app<2")
    world.environ |= {
        "UV_RESOLUTION": "lowest",
        "UV_CONSTRAINT": str(world.folder / "limits.txt"),
        "UV_EXCLUDE_NEWER": "2001-01-01",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON": "2.7",
        "VIRTUAL_ENV": "/nowhere",
    }
    assert world.resolve("app")["app"].version == "2.0"


def test_a_configuration_above_the_temporary_folder_is_not_read(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("public", "app", "1.0")
    world.add("private", "app", "99.0")
    del world.environ["UV_NO_CONFIG"]
    shared = tmp_path / "shared-tmp"
    shared.mkdir()
    (shared / "uv.toml").write_text(f'[[index]]\nname = "evil"\nurl = "{world.private.url}/"\n')
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    assert world.resolve("app")["app"].version == "1.0"


def test_passwords_stay_with_their_origin_and_out_of_messages(tmp_path: Path) -> None:
    write_wheel(tmp_path / "index" / "ours", "ours", "1.0")
    write_pages(tmp_path / "index")
    (tmp_path / "public").mkdir()
    with serve(tmp_path / "index", user="ada", password="s3cret") as private, serve(tmp_path / "public") as public:
        world = World(tmp_path, public, private)
        world.environ |= {"UV_INDEX_PRIVATE_USERNAME": "ada", "UV_INDEX_PRIVATE_PASSWORD": "s3cret"}
        found = world.resolve("ours", indexes=(world.bound("ours"),))["ours"]
        cache = Cache(tmp_path / "cache")
        fetch_all([Fetch(found.url, found.sha256, found.size, found.filename)], cache)
        assert cache.has(found.sha256)
        world.environ["UV_INDEX_PRIVATE_PASSWORD"] = "wr0ng"
        world.environ["UV_CACHE_DIR"] += "-new"
        error = _refused(world, "ours", indexes=(world.bound("ours"),))
        assert "wr0ng" not in str(error)
        wrong = found.url.replace("s3cret", "wr0ng")
        with pytest.raises(UnavailableError, match="401") as caught:
            fetch_all([Fetch(wrong, Digest.of(b""), None, "ours")], cache)
        assert "wr0ng" not in str(caught.value)


@pytest.mark.network
def test_real_packages_for_three_bases() -> None:
    request = PackageRequest(("numpy==2.3.4", "jax==0.8.0"), exclude_newer=datetime(2025, 11, 1, tzinfo=UTC))
    names = {}
    for target in (TRIXIE, ARM):
        wheels = resolve_packages(request, target, environ=os.environ)
        names[target.platform] = [wheel.filename for wheel in wheels if not wheel.filename.endswith("-any.whl")]
    assert "numpy-2.3.4-cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl" in names[Platform.LINUX_AMD64]
    assert "numpy-2.3.4-cp313-cp313-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl" in names[Platform.LINUX_ARM64]
    (alpine,) = resolve_packages(PackageRequest(("numpy==2.3.4",)), ALPINE, environ=os.environ)
    assert alpine.filename == "numpy-2.3.4-cp312-cp312-musllinux_1_2_x86_64.whl"


@pytest.mark.network
def test_a_cuda_build_is_resolved_and_found_again_without_its_bytes() -> None:
    request = PackageRequest(("torch==2.9.1",))
    wheels = resolve_packages(request, TRIXIE, environ=os.environ)
    assert {"torch", "triton", "nvidia-cudnn-cu12"} <= {wheel.name for wheel in wheels}
    pins = [PinnedWheel(wheel.name, wheel.version, wheel.filename, wheel.sha256) for wheel in wheels]
    located = locate_wheels(pins, request, TRIXIE, environ=os.environ)
    assert located == {wheel.filename: wheel.url for wheel in wheels}
    on_arm = {wheel.name for wheel in resolve_packages(request, ARM, environ=os.environ)}
    assert "nvidia-cudnn-cu12" not in on_arm


@pytest.mark.network
def test_real_packages_without_a_wheel() -> None:
    for asked, said in (
        ("pywin32==311", "cp313-cp313-win_amd64"),
        ("docopt==0.6.2", "only a source distribution"),
        ("tensorflow==2.15.0", "cp311-cp311-manylinux_2_17_x86_64"),
    ):
        with pytest.raises(ResolutionError) as caught:
            resolve_packages(PackageRequest((asked,)), TRIXIE, environ=os.environ)
        assert said in str(caught.value)
        assert asked.split("==")[0] in str(caught.value)
