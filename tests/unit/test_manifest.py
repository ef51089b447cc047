"""mlenv.toml: what it means, and one clear problem for everything that is wrong."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.manifests import FULL, PINNED, SMALL

from mlenv.errors import ManifestError, Problem, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.manifest import DEFAULT_PACKAGES, EnvironmentManifest
from mlenv.model.manifest_toml import parse_manifest, unpinned_images
from mlenv.model.platform import Platform
from mlenv.sources.manifest_file import load_manifest

TAGGED = PINNED.partition("@")[0]


def problems(text: str) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text)
    for problem in caught.value.problems:
        assert problem.hint, problem
        assert problem.where.startswith("mlenv.toml:"), problem
        assert "\n" not in problem.message + problem.hint + problem.where
    return list(caught.value.problems)


def only(addition: str) -> Problem:
    """The one problem that some lines after SMALL make."""
    (problem,) = problems(SMALL + addition)
    return problem


def test_every_value_of_a_full_manifest() -> None:
    found = parse_manifest(FULL)
    assert found.environment.platforms == (Platform.LINUX_AMD64, Platform.LINUX_ARM64)
    assert found.environment.epoch == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert found.base.image == PINNED
    assert found.base.image_digest == Digest("ab" * 32)
    assert found.base.debian is None
    assert found.python.packages == ("torch==2.9.1", 'transformers[torch]==4.57.1; python_version < "3.14"')
    assert found.python.exclude_newer == datetime(2026, 11, 1, tzinfo=UTC)
    assert found.python.indexes[0].packages == ("torch", "torch-vision")
    assert found.python.find_links == ("wheels",)
    assert found.cuda.architectures == ("sm_80", "sm_90")
    assert found.models[0].path == "/models/encoder"
    assert (found.files[0].source, found.files[0].uid, found.files[0].gid) == ("app", 10001, 10001)
    assert found.container.ports == ("8000/tcp", "9000/udp")
    assert found.container.healthcheck is not None
    assert found.container.healthcheck.interval == timedelta(seconds=90)
    assert found.container.healthcheck.timeout == timedelta(milliseconds=500)
    assert found.resources.memory == 16 * 2**30
    assert found.resources.ulimits == {"memlock": -1, "stack": 67108864}


def test_the_defaults_are_safe() -> None:
    found = parse_manifest(SMALL)
    assert found.environment.platforms == (Platform.LINUX_AMD64,)
    assert found.environment.epoch == datetime(1980, 1, 1, tzinfo=UTC)
    assert found.base.debian is not None
    assert (found.base.debian.suite, found.base.debian.packages) == ("trixie", DEFAULT_PACKAGES)
    assert (found.container.user, found.container.read_only, found.container.workdir) == ("10001:10001", True, "/")
    assert found.container.entrypoint is None
    assert found.resources.gpus is None
    assert found.resources.shm_size is None


@pytest.mark.parametrize("user", ["root", "0", "0:0"])
def test_root_only_where_it_is_written(user: str) -> None:
    assert parse_manifest(SMALL + f'[container]\nuser = "{user}"').container.user == user


def test_gpus_bring_shared_memory_and_a_count() -> None:
    found = parse_manifest(SMALL + '[resources]\ngpus = { memory = "40GiB" }').resources
    assert found.gpus is not None
    assert (found.gpus.count, found.shm_size) == (1, 2 * 2**30)
    found = parse_manifest(SMALL + '[resources]\ngpus = { mig = "1g.5gb" }\nshm-size = "1MiB"').resources
    assert found.gpus is not None
    assert (found.gpus.count, found.gpus.mig, found.shm_size) == (None, "1g.5gb", 2**20)


def test_values_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_manifest(SMALL).environment.name = "other"


@pytest.mark.parametrize(
    ("written", "number"),
    [('"1B"', 1), ('"1.5 GiB"', 3 * 2**29), ('"2GB"', 2 * 10**9), ('"64kB"', 64_000), ("4096", 4096)],
)
def test_sizes(written: str, number: int) -> None:
    assert parse_manifest(SMALL + f"[resources]\nmemory = {written}").resources.memory == number


CASES = [
    # lines 4 and on: the lines after SMALL; line and path of the problem; words of the message; words of the hint
    ("[enviroment]", "4 enviroment", "unknown key 'enviroment'", 'did you mean "environment"?'),
    ("[python]\npackges = []", "5 python.packges", "unknown key", 'did you mean "packages"?'),
    ("[python]\nexclude_newer = 1", "5 python.exclude_newer", "unknown key", 'did you mean "exclude-newer"?'),
    ("[system]\nzzz = 1", "5 system.zzz", "unknown key", "known are packages"),
    ("[container.healthcheck]", "4 container.healthcheck", "'command' is missing", "add container.healthcheck.command"),
    ("[[models]]\nname='a'\npath='/a'", "4 models[0]", "'uri' is missing", "add models[0].uri"),
    ("[python]\npackages = 'x'", "5 python.packages", "expected an array, found a string", "[ ]"),
    ("[python]\npackages = [1]", "5 python.packages[0]", "expected a string, found an integer", "quotes"),
    ("python = 1\n", "4 environment.python", "unknown key", "known are"),
    ("[container]\nread-only = 'yes'", "5 container.read-only", "expected true or false, found a string", "quotes"),
    ("[container]\nread-only = 1", "5 container.read-only", "expected true or false, found an integer", "quotes"),
    ("[container]\nenv = 1", "5 container.env", "expected a table, found an integer", "{ key = value }"),
    ("[container]\nenv.A = 1979-05-27", "5 container.env.A", "found a date or time", "quotes"),
    ("[container]\nenv.'A-B' = 'x'", "5 container.env.A-B", "not the name of an environment variable", "letters"),
    ("[container]\nenv.'A B' = 'x'", "5 container.env.'A B'", "not the name of an environment variable", "letters"),
    ("[resources]\npids = 1.5", "5 resources.pids", "expected an integer, found a number", "point"),
    ("[resources]\npids = 0", "5 resources.pids", "should be greater than or equal to 1", "another value"),
    ("[resources]\ncpus = nan", "5 resources.cpus", "not a number: nan", "finite"),
    ("[resources]\ncpus = -inf", "5 resources.cpus", "not a number: -inf", "finite"),
    ("[resources]\nulimits.a = 9223372036854775808", "5 resources.ulimits.a", "beyond 64 bits", "smaller"),
    (
        "[resources]\nulimits.nofile = 9223372036854775807",
        "5 resources.ulimits.nofile",
        "should be less than or equal",
        "another value",
    ),
    ("[resources]\nmemory = '16 gigs'", "5 resources.memory", "not a size: '16 gigs'", '"16GiB"'),
    ("[resources]\nmemory = '0.3B'", "5 resources.memory", "whole number of bytes", "smaller unit"),
    ("[resources]\nmemory = '0B'", "5 resources.memory", "should be greater than 0", "another value"),
    ("[resources]\ngpus = {count = 1, mig = '1g.5gb'}", "5 resources.gpus.mig", "not both", "remove"),
    ("[base]\nimage = 'python:3.12'", "5 base.image", "'python:3.12' has no digest", "mlenv pin"),
    ("[base]\nimage = 'oci:base:3'", "5 base.image", "'oci:base:3' has no digest", "mlenv pin"),
    ("[base]\nimage = 'python@sha256:12'", "5 base.image", "not an image reference", "@sha256"),
    ("[base]\nimage = 'docker://python'", "5 base.image", "not an image reference", "registry/name"),
    (f"[base]\nimage = '{PINNED}'\ndebian = {{}}", "6 base.debian", "not both", "remove"),
    ("[base.debian]\npackages = []", "5 base.debian.packages", "at least one value", "add one"),
    ("[base.debian]\npackages = ['Python3']", "5 base.debian.packages[0]", "Debian package: 'Python3'", "name alone"),
    ("[python]\nversion = '3.12.1'", "5 python.version", "not a Python version", "major and minor"),
    ("[python]\npackages = [\n'a',\n# b\n'torch = 2']", "8 python.packages[1]", "not a requirement", "as pip does"),
    ("[python]\npackages = ['a @ https://h/a.whl']", "5 python.packages[0]", "an address is not", "find-links"),
    ("[python]\nrequirements = ['../r.txt']", "5 python.requirements[0]", "within the project's folder", "without .."),
    ("[python]\nrequirements = ['/r.txt']", "5 python.requirements[0]", "within the project's folder", "relative"),
    ("[python]\nexclude-newer = 2026-11-01", "5 python.exclude-newer", "not a moment", "2026-11-01T00:00:00Z"),
    (
        "[python]\nexclude-newer = 2026-11-01T00:00:00",
        "5 python.exclude-newer",
        "without a time zone",
        "00:00Z for UTC",
    ),
    ("[python]\nexclude-newer = '2026-11-01'", "5 python.exclude-newer", "not a moment", "without quotes"),
    ("[python]\nexclude-newer = 2026-11-01T00:00:00.5Z", "5 python.exclude-newer", "fraction", "whole seconds"),
    ("[python]\nexclude-newer = 0001-01-01T00:00:00+23:00", "5 python.exclude-newer", "year between", "another year"),
    (
        "[[python.indexes]]\nname='a'\nurl='https://u:p@h/'\npackages=['x']",
        "6 python.indexes[0].url",
        "password",
        "netrc",
    ),
    ("[cuda]\nversion = '12'", "5 cuda.version", "not a CUDA version", "12.8"),
    (
        "[cuda]\narchitectures = ['sm_90', 'sm_90']",
        "5 cuda.architectures[1]",
        "cuda.architectures[0] already",
        "remove",
    ),
    ("[[models]]\nname='a'\nuri='ftp://x'\npath='/m'", "6 models[0].uri", "not a model's address", "hf://"),
    ("[[models]]\nname='a'\nuri='https://u:p@h/x'\npath='/m'", "6 models[0].uri", "password", "netrc"),
    ("[[models]]\nname='a'\nuri='hf://o/m'\npath='m'", "7 models[0].path", "not an absolute path", "root"),
    ("[[models]]\nname='a'\nuri='hf://o/m'\npath='/m/../x/'", "7 models[0].path", "not a normal path", '"/x"'),
    ("[[files]]\nsource='../a'\ntarget='/a'", "5 files[0].source", "within the project's folder", "without .."),
    ("[[files]]\nsource='a'\ntarget='//a'", "6 files[0].target", "not a normal path", '"/a"'),
    ("[[files]]\nsource='a'\ntarget='/'", "6 files[0].target", "the root", "name a folder"),
    ("[[files]]\nsource='a'\ntarget='/lib64/x'", "6 files[0].target", "nothing can be placed in /lib64", "/usr/lib64"),
    (
        "[[files]]\nsource='a'\ntarget='/opt/venv/x'",
        "6 files[0].target",
        "nothing can be placed in /opt/venv",
        "[python]",
    ),
    ("[[files]]\nsource='a'\ntarget='/a'\nowner='root:root'", "7 files[0].owner", "numeric owner", "0:0"),
    ("[[files]]\nsource='a'\ntarget='/a'\nexclude=['!b']", "7 files[0].exclude[0]", "take back", "narrow"),
    ("[[files]]\nsource='a'\ntarget='/a'\nexclude=['../b']", "7 files[0].exclude[0]", "cannot leave", "without .."),
    ("[base.debian]\nmirror = 'http://h:x/'", "5 base.debian.mirror", "not an address", "browser"),
    ("[base.debian]\nmirror = 'http:///x'", "5 base.debian.mirror", "without a host", "browser"),
    ("[base.debian]\nmirror = 'ftp://h/'", "5 base.debian.mirror", "not an address", "https://"),
    ("[container.healthcheck]\ncommand=['a']\ntimeout=30", "6 container.healthcheck.timeout", "a duration", "30s"),
    ("[container]\nuser = 0", "5 container.user", "expected a string, found an integer", "quotes"),
    ("[container]\nworkdir = 'app'", "5 container.workdir", "not an absolute path", '"/app"'),
    ("[container]\nports = [8000]", "5 container.ports[0]", "expected a string", "quotes"),
    ("[container]\nports = ['0']", "5 container.ports[0]", "between 1 and 65535", "8000/tcp"),
    (
        "[container]\nports = ['80', '80/tcp']",
        "5 container.ports[1]",
        "'80/tcp' stands in container.ports[0]",
        "remove",
    ),
    ("[container]\nlabels.'dev.mlenv.x' = ''", "5 container.labels.'dev.mlenv.x'", "itself", "remove"),
    ("[container]\nlabels.'org.opencontainers.image.title' = ''", "5 container.labels.", "itself", "remove"),
    ("[container]\nenv.K = 'v'\nsecrets = ['K']", "5 container.env.K", "has no value here", "remove the value"),
    ("[container.healthcheck]\ncommand=['a']\ninterval='soon'", "6 container.healthcheck.interval", "duration", "30s"),
    ("[container.healthcheck]\ncommand=['a']\ntimeout='0s'", "6 container.healthcheck.timeout", "between 1 ms", "30s"),
    ("[container.healthcheck]\ncommand=['a']\ntimeout='25h'", "6 container.healthcheck.timeout", "a day", "30s"),
    ("[container.healthcheck]\ncommand=[]", "5 container.healthcheck.command", "at least one value", "add one"),
    ("[a]\nb = [1, {c = inf}]", "5 a.b[1].c", "not a number", "finite"),
]


@pytest.mark.parametrize(("lines", "where", "message", "hint"), CASES)
def test_one_problem_has_a_line_a_path_a_message_and_a_hint(lines: str, where: str, message: str, hint: str) -> None:
    problem = only(lines)
    assert problem.where.startswith(f"mlenv.toml:{where}")
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = ", "mlenv.toml:1"),
        ("[environment\n", "mlenv.toml:1:13"),
        ('a = 1\nb = "x', "mlenv.toml:2"),
        ("a = 1\na = 2", "mlenv.toml:2"),
        ("[a]\n[a]\n", "mlenv.toml:2:3"),
        ("\ufeffa = 1", "mlenv.toml:1:1"),
        ("a = " + "9" * 5000, "mlenv.toml:1"),
        ("a = " + "[" * 5000, "mlenv.toml:1"),
        ("a = '\ud800'", "mlenv.toml:1"),
        ("a.b.c = " + "[" * 40 + "]" * 40, "mlenv.toml:1 a.b.c[0]"),
    ],
)
def test_what_is_not_toml_has_its_line(text: str, where: str) -> None:
    (problem,) = problems(text)
    assert problem.where.startswith(where)


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        """\
[environment]
name = "A"
[container]
env = { N = 1, S = "s" }
secrets = ["S"]
wokdir = "/"
[base]
image = "python:3.12"
[[models]]
name = "m"
[[models]]
name = "m"
uri = "hf://a/b"
path = "/m"
[[models]]
name = "m"
uri = "hf://a/b"
path = "/m"
"""
    )
    assert [problem.where.removeprefix("mlenv.toml:") for problem in found] == [
        "1 environment",  # no version
        "2 environment.name",
        "4 container.env.N",
        "4 container.env.S",
        "6 container.wokdir",
        "8 base.image",
        "9 models[0]",  # no path
        "9 models[0]",  # no uri
        "16 models[2].name",
        "18 models[2].path",
    ]


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("[[files]]\nsource='a'\ntarget='/m/x'\n", "hide the files placed at '/m/x'"),
        ("[container]\nvolumes=['/m']\n", "the volume '/m' would hide the model"),
        ("[container]\nvolumes=['/']\n", "the volume '/' would hide the model"),
        ("[[models]]\nname='b'\nuri='hf://o/m'\npath='/m/b'\n", "lies within the model 'a' at '/m'"),
    ],
)
def test_paths_that_hide_one_another(addition: str, message: str) -> None:
    assert message in only("[[models]]\nname='a'\nuri='hf://o/m'\npath='/m'\n" + addition).message


def test_a_package_comes_from_one_index() -> None:
    index = "[[python.indexes]]\nname='{0}'\nurl='https://{0}/'\npackages=['My.Pkg']\n"
    problem = only(index.format("a") + index.format("b").replace("My.Pkg", "my_pkg"))
    assert problem.where == "mlenv.toml:11 python.indexes[1].packages[0]"
    assert problem.message == "'my-pkg' comes from the index 'a' already"


def test_an_image_without_digest_can_be_allowed_or_explained() -> None:
    text = FULL.replace(PINNED, TAGGED)
    assert unpinned_images(text) == (TAGGED,)
    assert unpinned_images(text + "[zzz]") == (TAGGED,)
    assert unpinned_images(FULL) == unpinned_images("[") == unpinned_images(SMALL) == ()
    assert parse_manifest(text, allow_unpinned=True).base.image == TAGGED
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, digests={TAGGED: Digest("cd" * 32)})
    (problem,) = caught.value.problems
    assert problem.message.endswith(f"which is sha256:{'cd' * 32} now")
    assert f'"{TAGGED}@sha256:{"cd" * 32}"' in problem.hint


def test_the_canonical_form_knows_no_comments_order_spelling_or_written_defaults() -> None:
    other = """\
# the same
environment.version = '1.4.0'  # literal
environment."name" = "sentiment"
base.debian.packages = [
  "python3", "ca-certificates", "libgomp1", "libstdc++6", "tzdata",
]
container = { read-only = true, user = "10001:10001", workdir = "/" }
python = { packages = [] }
"""
    assert parse_manifest(other).canonical() == parse_manifest(SMALL).canonical()
    assert parse_manifest(other).digest == parse_manifest(SMALL).digest
    requirements = '[python]\npackages = ["a >=1,  <2", "b"]\n'
    assert parse_manifest(SMALL + requirements).digest == parse_manifest(SMALL + requirements.replace(" ", "")).digest
    times = "[python]\nexclude-newer = {}\n"
    assert (
        parse_manifest(SMALL + times.format("2026-11-01T02:00:00+02:00")).digest
        == parse_manifest(SMALL + times.format("2026-11-01 00:00:00z")).digest
    )


def test_the_canonical_form_does_not_change() -> None:
    """The lock holds its digest: a change here makes every lock stale, and wants a new lock version."""
    assert json.loads(parse_manifest(SMALL).canonical()) == {
        "base": {"debian": {"packages": list(DEFAULT_PACKAGES), "suite": "trixie"}},
        "container": {
            **{key: [] for key in ("command", "ports", "secrets", "volumes")},
            **{key: {} for key in ("env", "labels")},
            "read-only": True,
            "user": "10001:10001",
            "workdir": "/",
        },
        "cuda": {"architectures": []},
        "environment": {
            "epoch": "1980-01-01T00:00:00Z",
            "name": "sentiment",
            "platforms": ["linux/amd64"],
            "version": "1.4.0",
        },
        "files": [],
        "models": [],
        "python": {"find-links": [], "indexes": [], "packages": [], "requirements": []},
        "resources": {"ulimits": {}},
        "system": {"packages": []},
    }
    full = json.loads(parse_manifest(FULL).canonical())
    assert full["resources"]["memory"] == 17179869184
    assert full["container"]["healthcheck"]["interval"] == "90000ms"
    assert full["environment"]["epoch"] == "2025-12-31T22:00:00Z"


def test_a_manifest_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "mlenv.toml"
    with pytest.raises(ManifestError, match="no such file") as caught:
        load_manifest(path)
    assert "mlenv init" in caught.value.problems[0].hint
    path.write_text(SMALL)
    assert isinstance(load_manifest(path), EnvironmentManifest)
    path.write_bytes(SMALL.encode() + b"# caf\xe9\n")
    with pytest.raises(ManifestError, match=r"mlenv\.toml:4: not UTF-8"):
        load_manifest(path)
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ManifestError, match="larger than 1 MiB"):
        load_manifest(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path)


def test_the_error_names_the_digest_that_was_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "mlenv.toml"
    path.write_text(SMALL + f"[base]\nimage = '{TAGGED}'\n")
    with pytest.raises(ManifestError, match=f"which is sha256:{'cd' * 32} now"):
        load_manifest(path, look_up=lambda _: Digest("cd" * 32))

    def offline(reference: str) -> Digest:
        raise UnavailableError(f"no network for {reference}")

    with pytest.raises(ManifestError, match=r"has no digest$"):
        load_manifest(path, look_up=offline)
