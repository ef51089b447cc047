from pathlib import Path

import pytest

from mlenv.errors import UsageError
from mlenv.oci.reference import Output, Reference, Target, Transport

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("python", "docker.io/library/python", "python"),
        ("python:3.12", "docker.io/library/python:3.12", "python:3.12"),
        ("team/python", "docker.io/team/python", "team/python"),
        ("docker.io/python", "docker.io/library/python", "python"),
        ("index.docker.io/team/app:1", "docker.io/team/app:1", "team/app:1"),
        ("localhost/foo", "localhost/foo", "localhost/foo"),
        ("localhost:5000/foo", "localhost:5000/foo", "localhost:5000/foo"),
        ("127.0.0.1:5000/a/b__c.d-e:T_1.x", "127.0.0.1:5000/a/b__c.d-e:T_1.x", "127.0.0.1:5000/a/b__c.d-e:T_1.x"),
        ("[::1]:5000/foo:1", "[::1]:5000/foo:1", "[::1]:5000/foo:1"),
        (f"r.example.com/a@{DIGEST}", f"r.example.com/a@{DIGEST}", f"r.example.com/a@{DIGEST}"),
        (
            f"r.example.com:5000/a/b:1@{DIGEST}",
            f"r.example.com:5000/a/b:1@{DIGEST}",
            f"r.example.com:5000/a/b:1@{DIGEST}",
        ),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(text: str, full: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert Reference.parse(full) == Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "/a",
        "a//b",
        "a/",
        "Upper",
        "team/Upper",
        "a:",
        "a:-x",
        "a:" + "t" * 129,
        "a b",
        "a\n",
        "a@",
        "a@sha256:00",
        "a@sha512:" + "0" * 128,
        f"a@{DIGEST.upper()}",
        "0123456789abcdef" * 4,
        "a_/b-",
        "-r.example.com/a",
        "r.example.com:port/a",
        "r.example.com/" + "a" * 256,
        "user@host.example.com/a",
        "https://r.example.com/a",
        "a/../b",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:out", Target(Transport.OCI, Path("out"))),
        ("oci:a/b:v1.0", Target(Transport.OCI, Path("a/b"), "v1.0")),
        ("oci:a:docker.io/library/x:1", Target(Transport.OCI, Path("a"), "docker.io/library/x:1")),
        ("oci-archive:/x/y.tar:t", Target(Transport.OCI_ARCHIVE, Path("/x/y.tar"), "t")),
        ("docker-archive:x.tar", Target(Transport.DOCKER_ARCHIVE, Path("x.tar"))),
        (
            "docker-archive:x.tar:app",
            Target(Transport.DOCKER_ARCHIVE, Path("x.tar"), reference=Reference.parse("app:latest")),
        ),
        ("docker-daemon:app:1", Target(Transport.DOCKER_DAEMON, reference=Reference.parse("app:1"))),
        ("docker://python", Target(Transport.DOCKER, reference=Reference.parse("python:latest"))),
    ],
)
def test_a_target_is_read_as_skopeo_reads_it(text: str, expected: Target) -> None:
    assert Target.parse(text) == expected
    assert Target.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "out",
        "./out",
        "oci:",
        "oci::tag",
        "oci:dir:-bad-",
        "oci:dir:a b",
        "OCI:dir",
        "docker:python",
        "docker://",
        "docker://Python",
        "docker-daemon:",
        "docker-daemon:app",
        "docker-archive:",
        f"docker-archive:x.tar:app@{DIGEST}",
        "dir:out",
        "oci:a\0b",
    ],
)
def test_what_names_no_image_is_a_usage_error_with_the_forms_that_do(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Target.parse(text)
    assert "oci:DIR" in caught.value.problems[0].hint
    assert "\n" not in caught.value.problems[0].message


@pytest.mark.parametrize("text", [f"docker-daemon:app@{DIGEST}", f"docker://app@{DIGEST}"])
def test_a_digest_can_be_read_from_but_not_written_to(text: str) -> None:
    assert Target.parse(text).reference is not None
    with pytest.raises(UsageError, match="digest"):
        Output.parse(text)
