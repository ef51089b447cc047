"""One whole image, for ever: manifest, config, every layer, down to each entry.

The project is made here of bytes that no program at hand has a say in. When a digest differs, the test names the layer,
the entry and the field. A difference means that recipe 1 was changed; only a new recipe version may do that.
"""

from pathlib import Path

import pytest
from support.made_images import make_image
from support.wheels import Part, wheel_parts, zip_bytes

from mlenv.api import load, lock
from mlenv.build.layers import LayerWork, entries_of
from mlenv.layers.layer import measure_layer
from mlenv.model.lock import Lock
from mlenv.sources.cache import Cache
from mlenv.sources.contents import Contents

HERE = Path(__file__).parent
GOLDEN_LOCK = HERE / "image" / "mlenv.lock"

MANIFEST = """\
[environment]
name = "golden"
version = "1.0"
epoch = 2026-01-01T00:00:00Z

[base]
image = "oci:base@{base}"

[python]
packages = ["golden-one==1.0"]
find-links = ["wheels"]

[[files]]
source = "app"
target = "/app"
owner = "10001:10001"

[container]
command = ["golden", "--serve"]
env = {{ GREETING = "grüß dich" }}
ports = ["8000/tcp"]
healthcheck = {{ command = ["true"], interval = "30s" }}
labels = {{ "org.example.team" = "golden" }}
"""

ONE = wheel_parts(
    [
        Part("golden_one/__init__.py", b"from golden_two import two\n"),
        Part("golden_one/native.so", bytes(range(256)) * 300, mode=0o100755),
        Part("golden_one/stored.bin", b"stored" * 20_000, method=0),
        Part("golden_one/empty.txt", b"", method=0),
        Part("golden_one/ä ö.txt", "grüß dich".encode()),
        Part("golden_one/" + "long-name/" * 14 + "file.txt", b"long"),
        Part("golden_one-1.0.data/scripts/golden-script", b"#!python\nprint('script')\n"),
        Part("golden_one-1.0.data/data/share/golden/note.txt", b"data"),
        Part("golden_one-1.0.data/headers/golden.h", b"#define GOLDEN\n"),
    ],
    name="golden_one",
    metadata="Metadata-Version: 2.1\nName: golden-one\nVersion: 1.0\nRequires-Dist: golden-two\n",
    entry_points="[console_scripts]\ngolden = golden_one:main\n",
)
TWO = wheel_parts([Part("golden_two.py", b"two = 2\n")], name="golden_two", version="2.0",
                  metadata="Metadata-Version: 2.1\nName: golden-two\nVersion: 2.0\n")  # fmt: skip


def make_project(folder: Path) -> None:
    base = make_image(folder / "base", compression="tar", tag="1")
    (folder / "wheels").mkdir()
    for name, parts in (("golden_one-1.0", ONE), ("golden_two-2.0", TWO)):
        (folder / "wheels" / f"{name}-py3-none-any.whl").write_bytes(zip_bytes(parts))
    (folder / "app" / "static").mkdir(parents=True)
    (folder / "app" / "serve.py").write_text("print('golden')\n")
    (folder / "app" / "run").write_text("#!/bin/sh\n")
    (folder / "app" / "run").chmod(0o700)
    (folder / "app" / "static" / "link").symlink_to("../serve.py")
    (folder / "mlenv.toml").write_text(MANIFEST.format(base=base.manifest))


def listings(made: Lock, project: Path, cache: Path) -> dict[str, str]:
    """The mtree text of each layer of ours, by a name of the layer."""
    contents = Contents(Cache(cache), project)
    texts = {}
    for number, layer in enumerate(made.platforms[0].layers):
        lines: list[str] = []
        with entries_of(LayerWork(layer, made.platforms[0]), contents) as entries:
            measure_layer(entries, mtree=lines.append)
        texts[f"{number}-{layer.kind}"] = "".join(lines)
    return texts


def differences(expected: str, found: str) -> list[str]:
    """Which entry, and which of its fields."""
    said = []
    before, after = (
        {line.split(" ")[0]: line.split(" ")[1:] for line in text.splitlines()} for text in (expected, found)
    )
    for path in sorted(before.keys() | after.keys()):
        if path not in after:
            said.append(f"{path} is missing")
        elif path not in before:
            said.append(f"{path} is new")
        elif before[path] != after[path]:
            fields = [f"{b} is now {a}" for b, a in zip(before[path], after[path], strict=False) if a != b]
            said.append(f"{path}: {', '.join(fields) or 'other fields'}")
    return said


def test_the_image_is_the_one_that_was_checked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path)
    environ = {"MLENV_CACHE_DIR": str(tmp_path / "cache"), "UV_CACHE_DIR": str(tmp_path / "uv"), "UV_NO_INDEX": "1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    made = lock(load(tmp_path / "mlenv.toml"), project=tmp_path)
    found = listings(made, tmp_path, tmp_path / "cache")
    report = []
    for name, text in found.items():
        golden = GOLDEN_LOCK.with_name(f"{name}.mtree")
        report += [f"layer {name}: {one}" for one in differences(golden.read_text(), text)]
    expected = Lock.parse(GOLDEN_LOCK.read_text())
    for was, now in zip(expected.platforms[0].layers, made.platforms[0].layers, strict=False):
        if was != now and not report:
            report.append(f"layer {was.kind} has the same entries and other bytes: {was} is now {now}")
    if made.to_toml() != GOLDEN_LOCK.read_text():
        lines = zip(GOLDEN_LOCK.read_text().splitlines(), made.to_toml().splitlines(), strict=False)
        report += [f"mlenv.lock: {was!r} is now {now!r}" for was, now in lines if was != now]
    assert not report, "\n".join(report)
    assert made.to_toml() == GOLDEN_LOCK.read_text()


def test_a_difference_is_named() -> None:
    before = "#mtree\n./a type=file mode=0644 size=1\n./b type=dir mode=0755\n"
    after = "#mtree\n./a type=file mode=0755 size=1\n./c type=dir mode=0755\n"
    assert differences(before, after) == ["./a: mode=0644 is now mode=0755", "./b is missing", "./c is new"]
