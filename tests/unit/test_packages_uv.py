"""What uv is told, and what is made of what it says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from mlenv.errors import ManifestError, ResolutionError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.model.redact import redact
from mlenv.model.tags import PythonTarget
from mlenv.sources.packages.credentials import with_credentials
from mlenv.sources.packages.pylock import chosen_wheels, read_pylock
from mlenv.sources.packages.requirements_files import read_requirements
from mlenv.sources.packages.uv import PROJECT, Outcome, clean_environment, uv_platform
from mlenv.sources.packages.uv_messages import failure, without_wheel
from mlenv.sources.packages.uv_project import BoundIndex, PackageRequest, rfc3339

TARGET = PythonTarget(Platform.LINUX_AMD64, "glibc", "2.41", "3.13.5")


@pytest.mark.parametrize(
    ("libc", "version", "expected"),
    [
        ("glibc", "2.17", "x86_64-manylinux_2_17"),
        ("glibc", "2.27", "x86_64-manylinux_2_17"),
        ("glibc", "2.30", "x86_64-manylinux_2_28"),
        ("glibc", "2.36", "x86_64-manylinux_2_36"),
        ("glibc", "2.41", "x86_64-manylinux_2_40"),
        ("glibc", "3.0", "x86_64-manylinux_2_40"),
        ("musl", "1.2", "x86_64-unknown-linux-musl"),
    ],
)
def test_uvs_name_of_a_platform(libc: str, version: str, expected: str) -> None:
    assert uv_platform(replace(TARGET, libc=libc, libc_version=version)) == expected  # type: ignore[arg-type]


def test_a_base_that_is_too_old() -> None:
    with pytest.raises(ResolutionError, match=r"glibc 2\.12"):
        uv_platform(replace(TARGET, libc_version="2.12"))


def test_the_environment_that_uv_sees() -> None:
    seen = clean_environment(
        {
            "PATH": "/bin",
            "UV_DEFAULT_INDEX": "x",
            "UV_INDEX_OURS_PASSWORD": "y",
            "UV_RESOLUTION": "lowest",
            "UV_NEW": "z",
        }
    )
    assert seen["PATH"] == "/bin"
    assert seen["UV_DEFAULT_INDEX"] == "x"
    assert seen["UV_INDEX_OURS_PASSWORD"] == "y"
    assert not {"UV_RESOLUTION", "UV_NEW"} & seen.keys()


def test_times_are_written_by_rfc_3339() -> None:
    assert rfc3339(datetime(2026, 11, 1, tzinfo=UTC)) == "2026-11-01T00:00:00Z"
    assert rfc3339(datetime(2026, 11, 1)) == "2026-11-01T00:00:00Z"  # noqa: DTZ001 -- a TOML local time
    east = timezone(timedelta(hours=2))
    assert rfc3339(datetime(2026, 11, 1, 1, tzinfo=east)) == "2026-10-31T23:00:00Z"


NEW = f"""error: No solution found when resolving dependencies
  cause: Because pywin32<=310 has no wheels with a matching Python ABI tag (e.g., `cp314`) and only the following:
             pywin32<=310
         we can conclude that pywin32<311 cannot be used.
         And because {PROJECT} depends on pywin32, we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.14 (`cp314`), but we only found wheels for `pywin32` (v310)
hint: Wheels are available for `pywin32` (v312) on the following platforms: `win32`
"""
OLD = """  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2, we can conclude that your
      requirements are unsatisfiable.

      hint: Wheels are required for `docopt` because building from source is disabled
"""


def test_an_unsatisfiable_set_in_the_words_of_two_versions() -> None:
    new = failure(Outcome(1, "", NEW), TARGET)
    assert isinstance(new, ResolutionError)
    (problem,) = new.problems
    assert "Because pywin32<=310 has no wheels" in problem.message
    assert "you require pywin32, we can conclude" in problem.message
    assert problem.hint.count("; ") == 1
    old = failure(Outcome(1, "", OLD), TARGET)
    (problem,) = old.problems
    assert problem.message.endswith("docopt==0.6.2, we can conclude that your requirements are unsatisfiable.")
    assert problem.hint.startswith("Wheels are required for `docopt`")
    assert without_wheel(Outcome(1, "", NEW)) == [("pywin32", "")]
    assert without_wheel(Outcome(1, "", OLD)) == [("docopt", "0.6.2")]


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (
            2,
            "error: Request failed after 3 retries\n  cause: tcp connect error\n  cause: Connection refused",
            UnavailableError,
        ),
        (
            1,
            "error: No solution found when resolving dependencies\n  cause: x was not found in the cache",
            UnavailableError,
        ),
        (2, "error: Couldn't parse requirement in `r.txt` at position 0\n  cause: Expected one of", ManifestError),
        (2, "thread 'main' panicked", UnavailableError),
        (-9, "", UnavailableError),
    ],
)
def test_other_failures(status: int, said: str, kind: type[Exception]) -> None:
    error = failure(Outcome(status, "", said), TARGET)
    assert type(error) is kind
    assert error.problems[0].hint
    assert "\n" not in str(error)


def test_passwords_are_taken_out() -> None:
    assert redact("at https://ada:p@ss@host/x and http://token@h/") == "at https://host/x and http://h/"
    error = failure(Outcome(2, "", "error: Failed to fetch: `https://ada:secret@host/simple/x/`"), TARGET)
    assert "secret" not in str(error)
    assert "host/simple/x/" in str(error)


def test_passwords_are_put_back_for_their_origin_only() -> None:
    request = PackageRequest(indexes=(BoundIndex("our-index", "https://a:b@one.invalid/simple/", ("x",)),))
    environ = {
        "UV_INDEX": "two=https://two.invalid/simple/ https://c:d@three.invalid:8443/",
        "UV_INDEX_TWO_USERNAME": "e@",
        "UV_INDEX_TWO_PASSWORD": "f",
    }

    def placed(url: str) -> str:
        return with_credentials(url, request, environ)

    assert placed("https://one.invalid/files/x.whl") == "https://a:b@one.invalid/files/x.whl"
    assert placed("https://one.invalid:443/x.whl") == "https://a:b@one.invalid:443/x.whl"
    assert placed("https://two.invalid/x.whl") == "https://e%40:f@two.invalid/x.whl"
    assert placed("https://three.invalid:8443/x.whl") == "https://c:d@three.invalid:8443/x.whl"
    for other in ("http://one.invalid/x", "https://one.invalid:444/x", "https://files.one.invalid/x", "file:///x"):
        assert placed(other) == other


def _lines(folder: Path, text: str) -> list[tuple[str, str, int, bool]]:
    (folder / "r.txt").write_text(text)
    return [(one.name, one.url, len(one.hashes), one.constraint) for one in read_requirements(folder / "r.txt")]


def test_lines_of_a_requirements_file(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("-r r.txt\nMore_Things>=1\n")
    (tmp_path / "limits.txt").write_text("limited<2")
    text = f"""\ufeff# a comment
Flask[async]>=3 ; python_version > "3.8"  # why
pinned==1.0 \\
    --hash=sha256:{"0" * 64} \\
    --hash=sha256:{"1" * 64} --hash=sha512:00
direct @ https://host.invalid/direct-1.0-py3-none-any.whl#sha256=00
https://host.invalid/bare_name-1.0-py3-none-any.whl
/local-2.0-py3-none-any.whl

-r more.txt
--constraint=limits.txt
--pre
"""
    assert _lines(tmp_path, text) == [
        ("flask", "", 0, False),
        ("pinned", "", 2, False),
        ("direct", "https://host.invalid/direct-1.0-py3-none-any.whl#sha256=00", 0, False),
        ("bare-name", "https://host.invalid/bare_name-1.0-py3-none-any.whl", 0, False),
        ("local", "/local-2.0-py3-none-any.whl", 0, False),
        ("more-things", "", 0, False),
        ("limited", "", 0, True),
    ]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "-i x",
            "-ix",
            "--index-url=x",
            "--extra-index-url x",
            "-f x",
            "--find-links x",
            "--no-index",
            "-e .",
            "-r none",
        ),
        *("./x-1-py3-none-any.whl", "x-1-py3-none-any.whl", "x @ file:x-1-py3-none-any.whl", "./folder", "/folder"),
        *("git+https://h.invalid/x.git", "x @ https://h.invalid/x-1.tar.gz", "ftp://h.invalid/x-1-py3-none-any.whl"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ManifestError) as caught:
        _lines(tmp_path, f"numpy\n{line}\n")
    assert caught.value.problems[0].where.endswith("r.txt:2")
    assert caught.value.problems[0].hint


def test_a_hash_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not a sha256"):
        _lines(tmp_path, "numpy --hash=sha256:abc")


def _lock(*filenames: str, extra: str = "") -> str:
    wheels = ",".join(
        f'{{ url = "https://h.invalid/{name}", hashes = {{ sha256 = "{Digest.of(name.encode()).hex}" }} }}'
        for name in filenames
    )
    return (
        f'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "x"\nversion = "1"\nwheels = [{wheels}]\n{extra}'
    )


def _choice(text: str) -> list[str]:
    lock = read_pylock(text, where="pylock.toml", folder=Path("/p"))
    wheels = chosen_wheels(lock, TARGET, where="pylock.toml")
    return [wheel.filename for wheel in wheels]


def test_the_order_of_a_lock_does_not_matter() -> None:
    names = (
        "x-1-py3-none-any.whl",
        "x-1-cp313-cp313-manylinux_2_17_x86_64.whl",
        "x-1-2-cp313-cp313-manylinux_2_17_x86_64.whl",
        "x-1-10-cp313-cp313-manylinux_2_17_x86_64.whl",
        "x-1-cp313-cp313-manylinux_2_28_aarch64.whl",
    )
    for order in (names, names[::-1], names[2:] + names[:2]):
        assert _choice(_lock(*order)) == ["x-1-10-cp313-cp313-manylinux_2_17_x86_64.whl"]


def test_a_lock_for_another_python_or_environment() -> None:
    for line in ('requires-python = "<3.13"', "environments = [\"sys_platform == 'win32'\"]"):
        with pytest.raises(ResolutionError):
            _choice(_lock("x-1-py3-none-any.whl").replace("[[packages]]", f"{line}\n[[packages]]"))


def test_a_lock_whose_wheels_do_not_fit() -> None:
    with pytest.raises(ResolutionError) as caught:
        _choice(_lock(*(f"x-1-cp3{minor}-cp3{minor}-win_amd64.whl" for minor in range(10, 30))))
    assert "and 12 more" in str(caught.value)
    assert caught.value.problems[0].where == "pylock.toml"


@pytest.mark.parametrize("name", ["y-1-py3-none-any.whl", "x-2-py3-none-any.whl", "x-1.tar.gz", "../x"])
def test_a_lock_that_contradicts_itself(name: str) -> None:
    with pytest.raises(ManifestError, match=r"not a valid pylock\.toml"):
        _choice(_lock(name))


def test_a_package_without_a_sha256() -> None:
    text = _lock("x-1-py3-none-any.whl").replace("sha256", "md5")
    with pytest.raises(ResolutionError, match="no sha256"):
        _choice(text)


def test_a_path_in_a_lock_starts_at_its_folder() -> None:
    text = _lock("x-1-py3-none-any.whl").replace('url = "https://h.invalid/', 'path = "wheels/')
    (wheel,) = chosen_wheels(read_pylock(text, where="", folder=Path("/p")), TARGET, where="")
    assert wheel.url == "file:///p/wheels/x-1-py3-none-any.whl"
