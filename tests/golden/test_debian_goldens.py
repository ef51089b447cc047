"""The bytes of a layer of Debian packages, for ever: a rule never changes under its number."""

import io
import tempfile

from support.debs import Item, make_deb

from mlenv.layers.complete import complete
from mlenv.layers.debian.deb import open_deb
from mlenv.layers.debian.root import rootfs_entries
from mlenv.layers.layer import measure_layer

DEBS = [
    make_deb(
        "base-files",
        [
            Item("./etc/", mode=0o755),
            Item("./usr/share/base-files/profile", b"umask 022\n"),
            Item("./usr/lib/os-release", b"ID=debian\n"),
            Item("./etc/os-release", link="../usr/lib/os-release"),
            Item("./var/run/", mode=0o755),
            Item("./bin", link="usr/bin"),
        ],
        Essential="yes",
    ),
    make_deb(
        "base-passwd",
        [
            Item("./usr/share/base-passwd/passwd.master", b"root:*:0:0:root:/root:/bin/bash\n"),
            Item("./usr/share/base-passwd/group.master", b"root:*:0:\n"),
        ],
        compression=".gz",
    ),
    make_deb(
        "ca-certificates",
        [Item("./usr/share/ca-certificates/mozilla/A.crt", b"AAA\n"), Item("./usr/share/ca-certificates/B.crt", b"B")],
        architecture="all",
        compression="",
    ),
    make_deb(
        "libthing1",
        [
            Item("./lib64/", mode=0o755),
            Item("./lib64/ld.so.2", b"\x7fELF", mode=0o755),
            Item("./usr/bin/thing", b"#!" * 70_000, mode=0o4755),
            Item("./usr/bin/other", kind=b"1", link="./usr/bin/thing"),
            Item("./etc/thing.conf", b"a = 1\n", gid=42, mode=0o640),
            Item("./usr/share/doc/" + "long-name/" * 20 + "naïve", b""),
        ],
        compression=".zst",
        version="1:2.0~rc1-3+b1",
        info={"conffiles": b"/etc/thing.conf\n", "md5sums": b"00  etc/thing.conf\n", "postinst": b"exit 1\n"},
        Multi_Arch="same",
        Replaces="thing (<< 2)",
    ),
    make_deb("tzdata", [Item("./usr/share/zoneinfo/Etc/UTC", b"TZif2")], architecture="all"),
]

DIFF_ID = "sha256:5c8a4650080ab7d3f824ea970d86abb258f4d040dcf5d28bae77e5a176b9cdd1"
MTREE = "sha256:f88b975362fd9d64ac409bbfc4866539f137438245e28f89d4e955b6cc6c72a4"
DIGEST = "sha256:84000911ba6a4b2d8df84e8275f92427c744336059610d17b9bf36e516a09a70"


def test_the_layer_of_these_packages_is_this_one() -> None:
    lines: list[str] = []
    with tempfile.TemporaryFile() as spool:
        debs = [open_deb(io.BytesIO(deb.data), f"{deb.name} {deb.version}", spool) for deb in DEBS]
        layer = measure_layer(complete(rootfs_entries(debs)), mtree=lines.append)
    found = (str(layer.mtree), str(layer.diff_id), str(layer.digest))
    # The mtree first, and its text: it names the entry and the field that differ.
    assert found == (MTREE, DIFF_ID, DIGEST), "".join(lines)
