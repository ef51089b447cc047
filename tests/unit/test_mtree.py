"""The mtree text, as another program checks a directory against it."""

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

from mlenv.layers.entry import Entry, EntryType, Inline
from mlenv.layers.layer import complete, measure_layer
from mlenv.layers.mtree import SIGNATURE, line


def test_the_line_of_each_kind() -> None:
    assert SIGNATURE == "#mtree\n. type=dir\n"
    assert line(Entry("a/b", EntryType.DIRECTORY, 0o1777), 0, "") == (
        "./a/b type=dir mode=1777 uid=0 gid=0 time=315532800.0\n"
    )
    assert line(Entry("f", EntryType.FILE, 0o644, uid=7, gid=8), 3, "ab") == (
        "./f type=file mode=0644 uid=7 gid=8 size=3 sha256digest=ab time=315532800.0\n"
    )
    assert line(Entry("l", EntryType.SYMLINK, 0o777, link="a b"), 0, "") == (
        r"./l type=link mode=0777 uid=0 gid=0 link=a\040b time=315532800.0" + "\n"
    )


def test_bytes_that_a_reader_may_take_for_something_else() -> None:
    assert line(Entry("a *?[#\\\u00fc'\"", EntryType.DIRECTORY, 0o755), 0, "").split(" ")[0] == (
        r"./a\040\052\077\133\043\134\303\274\047\042"
    )


def test_mtree_finds_the_unpacked_layer_right_and_a_changed_one_wrong(
    require_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    mtree = require_tool("mtree")
    entries = complete(
        [
            Entry("opt/a b/\u00fc[*].py", EntryType.FILE, 0o755, content=Inline(b"hello\n")),
            Entry("opt/a b/#x\\y", EntryType.FILE, 0o644, content=Inline(b"")),
            Entry("opt/link", EntryType.SYMLINK, 0o777, link="a b/\u00fc[*].py"),
        ]
    )
    layer, lines = io.BytesIO(), list[str]()
    measure_layer(entries, layer.write, lines.append)
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run([require_tool("tar"), "-xzp", "-C", root], input=layer.getvalue(), check=True)
    (tmp_path / "spec").write_text("".join(lines))
    # Who runs the tests may not be root.
    command: list[str | Path] = [mtree, "-f", tmp_path / "spec", "-p", root, "-R", "uid,gid"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (root / "opt/a b/\u00fc[*].py").write_bytes(b"jello\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
