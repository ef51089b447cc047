"""Tags and markers are the target's, and those that the target itself would name."""

import platform
import sys
import sysconfig
from dataclasses import replace
from typing import cast

import packaging
import pytest
from packaging.markers import Marker, default_environment
from packaging.tags import sys_tags
from packaging.version import Version

from mlenv.model.facts import BaseFacts
from mlenv.model.platform import Platform
from mlenv.model.tags import PythonTarget, target_environment, target_tags

TRIXIE = PythonTarget(Platform.LINUX_AMD64, "glibc", "2.41", "3.13.5")


def _host() -> PythonTarget:
    libc, version = platform.libc_ver()
    machines = {"x86_64": Platform.LINUX_AMD64, "aarch64": Platform.LINUX_ARM64}
    if libc != "glibc" or platform.machine() not in machines or sys.implementation.name != "cpython":
        pytest.skip("this machine is no base of a kind that mlenv knows")
    if sysconfig.get_config_var("Py_DEBUG") or sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this interpreter is a debug or free-threaded build")
    return PythonTarget(machines[platform.machine()], "glibc", version, platform.python_version())


def test_the_hosts_own_target_has_the_hosts_tags() -> None:
    tags = target_tags(_host())
    assert set(tags) == set(sys_tags())
    if Version(packaging.__version__) >= Version("26.3"):  # before that, linux_* came after manylinux_*
        assert tags == list(dict.fromkeys(sys_tags()))


def test_the_hosts_own_target_has_the_hosts_markers() -> None:
    ours, theirs = dict(target_environment(_host())), dict(default_environment())
    assert ours.keys() == theirs.keys()
    kernel = {"platform_release", "platform_version"}
    assert {key: ours[key] for key in ours.keys() - kernel} == {key: theirs[key] for key in theirs.keys() - kernel}


def test_tags_of_a_debian_base() -> None:
    tags = [str(tag) for tag in target_tags(TRIXIE)]
    assert tags[0] == "cp313-cp313-linux_x86_64"
    assert tags[1] == "cp313-cp313-manylinux_2_41_x86_64"
    for fits in (
        "cp313-cp313-manylinux_2_5_x86_64",
        "cp313-cp313-manylinux1_x86_64",
        "cp313-cp313-manylinux2014_x86_64",
        "cp313-abi3-manylinux_2_17_x86_64",
        "cp37-abi3-manylinux2010_x86_64",
        "cp313-none-any",
        "py3-none-manylinux_2_28_x86_64",
        "py313-none-any",
        "py3-none-any",
    ):
        assert fits in tags
    for unfit in (
        "cp313-cp313-manylinux_2_42_x86_64",
        "cp313-cp313-manylinux_2_17_aarch64",
        "cp313-cp313-musllinux_1_2_x86_64",
        "cp313-cp313t-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp314-abi3-manylinux_2_17_x86_64",
        "py2-none-any",
    ):
        assert unfit not in tags
    assert len(tags) == len(set(tags))


def test_manylinux_for_arm_begins_later() -> None:
    tags = {str(tag) for tag in target_tags(replace(TRIXIE, platform=Platform.LINUX_ARM64))}
    assert "cp313-cp313-manylinux2014_aarch64" in tags
    assert not any("manylinux_2_16_" in tag or "manylinux2010" in tag or "x86_64" in tag for tag in tags)


def test_tags_of_a_musl_base() -> None:
    tags = [str(tag) for tag in target_tags(replace(TRIXIE, libc="musl", libc_version="1.2"))]
    assert tags[1:4] == [f"cp313-cp313-musllinux_1_{minor}_x86_64" for minor in (2, 1, 0)]
    assert not any("manylinux" in tag for tag in tags)


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("platform_machine == 'aarch64'", True),
        ("sys_platform == 'linux'", True),
        ("python_full_version == '3.13.5'", True),
        ("python_version < '3.12'", False),
        ("platform_release != ''", False),
        ("implementation_version == '3.13.5'", True),
    ],
)
def test_markers_are_the_targets(marker: str, expected: bool) -> None:
    environment = target_environment(replace(TRIXIE, platform=Platform.LINUX_ARM64))
    assert Marker(marker).evaluate(cast("dict[str, str]", environment)) is expected


def test_a_target_is_made_of_facts() -> None:
    facts = BaseFacts(libc="glibc", libc_version="2.41", interpreter="/usr/bin/python3.13", python="3.13.5")
    assert PythonTarget.of(Platform.LINUX_AMD64, facts) == TRIXIE
    assert str(TRIXIE) == "Python 3.13.5 on linux/amd64 with glibc 2.41"
