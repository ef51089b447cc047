import io
import tarfile
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest
from support.made_images import GLIBC, OS_RELEASE, PYTHON, ROOT, File, HardLink, Link, elf, tar_of

from mlenv.errors import RefusedError, ResolutionError
from mlenv.layers.entry import Entry, EntryType, Inline
from mlenv.model.facts import BaseFacts
from mlenv.model.platform import Platform
from mlenv.oci import tar_reader
from mlenv.sources.bases import candidates, root_tree
from mlenv.sources.bases.facts import entry_files, read_facts, tar_files

ENV = {"PATH": "/usr/local/bin:/usr/bin"}
DEBIAN = {name: content for name, content in ROOT.items() if not name.startswith("usr/local")}


def facts(
    *layers: Mapping[str, File],
    env: Mapping[str, str] = ENV,
    wanted: str | None = None,
    platform: Platform = Platform.LINUX_AMD64,
) -> BaseFacts:
    return read_facts((tar_files(io.BytesIO(tar_of(layer))) for layer in layers), env, platform, wanted=wanted)


def python(version: str) -> bytes:
    return elf(version.encode(), b"3.2.0", f"Python {version}".encode())


def test_the_facts_of_a_base_of_one_layer() -> None:
    assert facts(ROOT) == BaseFacts(
        libc="glibc",
        libc_version="2.36",
        interpreter="/usr/local/bin/python3.12",
        python="3.12.4",
        distribution="debian 12",
    )


def test_variables_of_nvidias_images_are_kept_and_no_others() -> None:
    env = ENV | {"CUDA_VERSION": "12.8.1", "NV_CUDNN_VERSION": "9.8.0", "NVIDIA_REQUIRE_CUDA": "cuda>=12.8", "X": "y"}
    assert facts(ROOT, env=env).cuda == {
        "CUDA_VERSION": "12.8.1",
        "NV_CUDNN_VERSION": "9.8.0",
        "NVIDIA_REQUIRE_CUDA": "cuda>=12.8",
    }


def test_an_earlier_directory_of_path_goes_before_a_higher_version() -> None:
    both = ROOT | {"usr/bin/python3.13": python("3.13.5")}
    assert facts(both).python == "3.12.4"
    assert facts(both, env={"PATH": "/usr/bin:/usr/local/bin"}).python == "3.13.5"
    assert facts(both, env={}).python == "3.12.4"  # the engines' own PATH


def test_a_base_with_a_virtual_environment_where_ours_goes() -> None:
    taken = ROOT | {"opt/venv/pyvenv.cfg": b"home = /usr/bin\n"}
    with pytest.raises(ResolutionError, match="a virtual environment at /opt/venv already"):
        facts(taken)
    assert facts(taken, {"opt/.wh.venv": b""}) == facts(ROOT | {"opt/venv": None})


def test_the_highest_version_of_a_directory_counts_by_number() -> None:
    assert facts(ROOT | {"usr/local/bin/python3.9": python("3.9.1")}).python == "3.12.4"
    assert (
        facts(DEBIAN | {"usr/bin/python3.9": python("3.9.19"), "usr/bin/python3.10": python("3.10.1")}).python
        == "3.10.1"
    )


def test_the_wanted_python_is_found_wherever_path_leads() -> None:
    both = ROOT | {"usr/bin/python3.13": python("3.13.5")}
    found = facts(both, wanted="3.13")
    assert (found.interpreter, found.python) == ("/usr/bin/python3.13", "3.13.5")


def test_another_python_than_the_wanted_one() -> None:
    with pytest.raises(ResolutionError, match=r"no Python 3\.13; it has 3\.12\.4") as caught:
        facts(ROOT, wanted="3.13")
    assert 'python.version = "3.12"' in caught.value.problems[0].hint


def test_a_base_without_python() -> None:
    with pytest.raises(ResolutionError, match=r"the base \(debian 12\) has no Python 3") as caught:
        facts(DEBIAN)
    assert "base.debian" in caught.value.problems[0].hint


@pytest.mark.parametrize("content", [b"#!/bin/sh\nexec python\n", b"", b"\x7fELF", elf(b"no version")])
def test_what_is_called_python_but_is_no_interpreter_is_none(content: bytes) -> None:
    with pytest.raises(ResolutionError, match="no Python 3 in"):
        facts(DEBIAN | {"usr/bin/python3.12": content})


def test_a_python_for_another_processor() -> None:
    with pytest.raises(ResolutionError, match=r"/usr/local/bin/python3\.12 is not for arm64 but amd64"):
        facts(ROOT, platform=Platform.LINUX_ARM64)


def test_the_version_may_lie_in_the_shared_library() -> None:
    shared = {
        "usr/local/bin/python3.12": elf(b"nothing"),
        "usr/local/lib/libpython3.12.so.1.0": elf(b"3.12.9"),
        "usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0": elf(b"3.11.2"),
    }
    assert facts(ROOT | shared).python == "3.12.9"


def test_the_version_may_be_the_end_of_another_string() -> None:
    assert facts(ROOT | {"usr/local/bin/python3.12": elf(b"/opt/versions/3.12.1", b"x13.12.99")}).python == "3.12.1"


@pytest.mark.parametrize("version", ["3.14.0rc2", "3.13.0b1", "3.12.0a7"])
def test_a_version_before_the_release(version: str) -> None:
    minor = ".".join(version.split(".")[:2])
    assert facts(DEBIAN | {f"usr/bin/python{minor}": python(version)}).python == version


def test_a_base_whose_python_has_no_number_in_its_name() -> None:
    found = facts(DEBIAN | {"usr/bin/python3": PYTHON})
    assert (found.interpreter, found.python) == ("/usr/bin/python3", "3.12.4")


def test_links_are_followed_within_the_root() -> None:
    found = facts(
        DEBIAN
        | {
            "opt/conda/bin/python3.12": PYTHON,
            "usr/bin/python3.12": Link("/etc/alternatives/python"),
            "etc/alternatives/python": Link("../../../../opt/conda/bin/python3.12"),
        }
    )
    assert found.interpreter == "/opt/conda/bin/python3.12"


def test_links_in_a_circle_lead_nowhere() -> None:
    with pytest.raises(ResolutionError):
        facts(DEBIAN | {"usr/bin/python3.12": Link("python3"), "usr/bin/python3": Link("python3.12"), "a": Link("a")})


def test_a_hard_link_is_the_file_that_it_names() -> None:
    found = facts({"usr/bin/python3": PYTHON, **DEBIAN}, {"usr/bin/python3.12": HardLink("usr/bin/python3")})
    assert found.interpreter == "/usr/bin/python3.12"


def test_an_upper_layer_replaces_a_lower_ones_file() -> None:
    assert facts(ROOT, {"usr/local/bin/python3.12": python("3.12.7")}).python == "3.12.7"
    with pytest.raises(ResolutionError):
        facts(ROOT, {"usr/local/bin/python3.12": b"no longer"})


@pytest.mark.parametrize(
    "whiteout",
    ["usr/local/bin/.wh.python3.12", "usr/local/.wh.bin", "usr/local/.wh..wh..opq", ".wh.usr", ".wh..wh..opq"],
)
def test_a_whiteout_hides_what_lies_below_it(whiteout: str) -> None:
    with pytest.raises(ResolutionError, match="no Python 3 in"):
        facts(ROOT, {whiteout: b""})


def test_a_whiteout_spares_its_own_layer_in_either_order() -> None:
    new = {"usr/local/bin/python3.11": python("3.11.9")}
    assert facts(ROOT, {"usr/local/.wh..wh..opq": b"", **new}).python == "3.11.9"
    assert facts(ROOT, {**new, "usr/local/.wh..wh..opq": b""}).python == "3.11.9"
    assert facts(ROOT, {"usr/.wh.local": b"", **new}).python == "3.11.9"


def test_a_file_in_place_of_a_directory_and_back() -> None:
    with pytest.raises(ResolutionError):
        facts(ROOT, {"usr/local": b"a file"})
    assert (
        facts(ROOT, {"usr/local": b"a file"}, {"usr/local": None, "usr/local/bin/python3.12": PYTHON}).python
        == "3.12.4"
    )
    with pytest.raises(ResolutionError):
        facts(ROOT, {"usr/local/bin": Link("/nowhere")})


@pytest.mark.parametrize("folder", ["opt/a b", "opt/a\nb", "opt/\x1b[31m", "opt/é"])
def test_a_path_that_would_break_the_files_it_goes_into_is_no_interpreter(folder: str) -> None:
    with pytest.raises(ResolutionError, match="no Python 3 in") as caught:
        facts(DEBIAN | {f"{folder}/python3.12": PYTHON}, env={"PATH": f"/{folder}"})
    assert caught.value.problems[0].message.isprintable()


def test_musl_and_its_version() -> None:
    found = facts(
        {
            "usr/bin/python3.12": elf(b"3.12.8", loader="/lib/ld-musl-x86_64.so.1"),
            "lib/ld-musl-x86_64.so.1": elf(b"1.2.5", b"musl libc (x86_64)\nVersion %s\n"),
            "lib/libc.musl-x86_64.so.1": Link("ld-musl-x86_64.so.1"),
            "etc/os-release": b"ID=alpine\nVERSION_ID=3.21.0\n",
            "lib64/libc.so.6": GLIBC,  # a compatibility layer, which is not the interpreter's
        }
    )
    assert (found.libc, found.libc_version, found.distribution) == ("musl", "1.2", "alpine 3.21.0")


def test_glibc_under_its_old_name() -> None:
    files: dict[str, File] = {
        "lib/x86_64-linux-gnu/libc.so.6": Link("libc-2.31.so"),
        "usr/bin/python3.9": python("3.9.2"),
    }
    glibc = elf(b"GNU C Library (Ubuntu GLIBC 2.31-0ubuntu9) stable release version 2.31.\n")
    assert facts(files | {"lib/x86_64-linux-gnu/libc-2.31.so": glibc}).libc_version == "2.31"


def test_a_base_without_a_c_library() -> None:
    with pytest.raises(ResolutionError, match="no C library"):
        facts({"usr/bin/python3.12": PYTHON})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OS_RELEASE, "debian 12"),
        (b"ID=debian\n", "debian"),
        (b"# comment\n ID='ubuntu' \nVERSION_ID=24.04", "ubuntu 24.04"),
        (b'ID="open\n', "open"),
        (b"ID=de\x1b[31mbian\nVERSION_ID='1 2\t3'\n", "de31mbian 123"),
        (b"\xff\xfe", "linux"),
        (b"", "linux"),
    ],
)
def test_the_distribution(text: bytes, expected: str) -> None:
    assert facts(ROOT | {"usr/lib/os-release": text}).distribution == expected


def test_facts_of_packages_that_are_not_a_layer_yet() -> None:
    kinds = {Link: EntryType.SYMLINK, bytes: EntryType.FILE}
    entries = [
        Entry(
            name,
            kinds[type(content)],
            0o755,
            link=content.target if isinstance(content, Link) else "",
            content=Inline(content) if isinstance(content, bytes) else None,
        )
        for name, content in ROOT.items()
    ]
    assert read_facts([entry_files(entries)], ENV, Platform.LINUX_AMD64) == facts(ROOT)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_gives_the_same_facts(format: int) -> None:  # noqa: A002 -- tarfile's own word
    files = {"./" + "long/" * 25 + "name": b"", "./usr": None, **{f"./{name}": ROOT[name] for name in ROOT}}
    tar = io.BytesIO(tar_of(files, format=format))
    assert read_facts([tar_files(tar)], ENV, Platform.LINUX_AMD64) == facts(ROOT)


def _patched(tar: bytes, offset: int, field: bytes) -> bytes:
    header = bytearray(tar[:512])
    header[offset : offset + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + tar[512:]


PLAIN = tar_of({"a": b"content"}, format=tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("tar", "message"),
    [
        (tar_of({"../etc/passwd": b""}), "leaves the root"),
        (tar_of({"usr/../../x": b""}), "leaves the root"),
        (PLAIN[:511], "truncated"),
        (PLAIN[:515], "truncated"),
        (PLAIN[:300] + b"\1" + PLAIN[301:], "wrong checksum"),
        (_patched(PLAIN, 124, b"\xff" * 12), "negative size"),
        (_patched(PLAIN, 124, b"zzzzzzzzzzz\0"), "no number"),
        (_patched(PLAIN, 124, b"\x80" + b"\x7f" * 11), "truncated"),
        (_patched(PLAIN, 156, b"S"), "sparse"),
        (_patched(PLAIN, 156, b"x"), "broken PAX record"),
        (_patched(_patched(PLAIN, 156, b"x"), 124, b"77777777777\0"), "extended header of"),
        (_patched(_patched(PLAIN, 156, b"L"), 124, b"77777777777\0"), "extended header of"),
        (_patched(PLAIN, 156, b"L")[:1024], "ends inside an extended header"),
        (tar_of({"etc/os-release": b"x" * 70_000}), "os-release is 70000 bytes"),
    ],
)
def test_a_hostile_layer_is_refused(tar: bytes, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read_facts([tar_files(io.BytesIO(tar))], ENV, Platform.LINUX_AMD64)


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [(tar_reader, "_ENTRIES", "more than 3 entries"), (root_tree, "_NODES", "hold more than 3")],
)
def test_what_has_no_end_is_stopped(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, message: str
) -> None:
    monkeypatch.setattr(module, name, 3)
    with pytest.raises(RefusedError, match=message):
        facts({f"l{number}": Link("x") for number in range(5)})


def test_too_many_whiteouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_tree, "_NODES", 20)
    with pytest.raises(RefusedError, match="deletes more than 20"):
        facts(ROOT, {f".wh.{number}": b"" for number in range(25)})


def test_an_interpreter_of_absurd_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_LARGEST", 100)
    with pytest.raises(RefusedError, match=r"/usr/local/bin/python3\.12 is \d+ bytes long"):
        facts(ROOT)


def test_devices_are_passed_over() -> None:
    device = _patched(_patched(PLAIN, 156, b"3"), 124, b"00000000000\0")[:512]
    tar = io.BytesIO(device + tar_of(ROOT))
    assert read_facts([tar_files(tar)], ENV, Platform.LINUX_AMD64).python == "3.12.4"


def layers_of(count: int) -> Sequence[Mapping[str, File]]:
    return [{f"l{number}": Link("x")} for number in range(count)]


def test_many_layers() -> None:
    assert facts(ROOT, *layers_of(63)).python == "3.12.4"
