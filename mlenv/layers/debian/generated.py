"""What maintainer scripts would make and programs need, made by rule instead of by running them.

Each rule looks only at what the packages brought, and gives way to a file that a package brings itself.
"""

from collections.abc import Iterator, Mapping

from mlenv.layers.content import Reader
from mlenv.layers.entry import Entry, EntryType, Inline

_ORIGIN = "the rules for Debian packages"
_FOLDERS = {
    **dict.fromkeys(
        ("dev", "etc", "etc/opt", "home", "media", "mnt", "opt", "proc", "run", "srv", "sys", "var/opt", "usr/local"),
        (0o755, 0),
    ),
    **{f"usr/local/{name}": (0o755, 0) for name in ("bin", "etc", "include", "lib", "sbin", "share", "src")},
    "root": (0o700, 0),
    "run/lock": (0o1777, 0),
    "tmp": (0o1777, 0),
    "var/mail": (0o775, 8),
    "var/tmp": (0o1777, 0),
}
_COPIES = {
    "etc/profile": "usr/share/base-files/profile",
    "etc/motd": "usr/share/base-files/motd",
    "root/.bashrc": "usr/share/base-files/dot.bashrc",
    "root/.profile": "usr/share/base-files/dot.profile",
    "etc/nsswitch.conf": "usr/share/base-files/nsswitch.conf",
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/group": "usr/share/base-passwd/group.master",
}
_DEFAULTS = {
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\nethers: files\nrpc: files\n",
    "etc/passwd": "root:*:0:0:root:/root:/bin/sh\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:*:0:\nnogroup:*:65534:\n",
}
_LINKS = {  # link: (target, what must be there)
    "etc/dpkg/origins/default": ("debian", "etc/dpkg/origins/debian"),
    "etc/localtime": ("/usr/share/zoneinfo/Etc/UTC", "usr/share/zoneinfo/Etc/UTC"),
    "var/spool/mail": ("../mail", "usr/share/base-files/profile"),
}
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_CERTIFICATES = "usr/share/ca-certificates/"
_AWKS = ("gawk", "mawk", "original-awk")
_BLAS = ("openblas-pthread", "openblas-openmp", "openblas-serial", "atlas", "blis", "blas", "lapack")
_BLAS_NAMES = ("libblas.so.3", "liblapack.so.3", "libopenblas.so.0")


def generated_entries(entries: Mapping[str, Entry]) -> Iterator[Entry]:
    """The entries that the rules add to `entries`, those of the packages by path. Some may be there already."""
    for path, (mode, gid) in _FOLDERS.items():
        yield Entry(path, EntryType.DIRECTORY, mode, gid=gid, origin=_ORIGIN)
    for path, (target, needed) in _LINKS.items():
        if needed in entries:
            yield _link(path, target)
    if "usr/share/zoneinfo/Etc/UTC" in entries:
        yield _file("etc/timezone", b"Etc/UTC\n")
    for path, source in _COPIES.items():
        if source in entries:
            yield Entry(path, EntryType.FILE, 0o644, content=entries[source].content, origin=_ORIGIN)
    for path, text in _DEFAULTS.items():
        yield _file(path, text.encode())
    yield from _certificates(entries)
    yield from _alternatives(entries)


def _certificates(entries: Mapping[str, Entry]) -> Iterator[Entry]:
    """One file with all certificates, bytewise by path, and OpenSSL's default name for it.

    update-ca-certificates also makes a link for each, named by a hash that only OpenSSL computes; with the one file as
    `cert.pem` nothing needs them.
    """
    paths = sorted(path for path in entries if path.startswith(_CERTIFICATES) and path.endswith(".crt"))
    if not paths:
        return
    yield _file(_BUNDLE, b"".join(_bytes(entries[path]).rstrip(b"\n") + b"\n" for path in paths))
    yield _link("usr/lib/ssl/cert.pem", f"/{_BUNDLE}")


def _alternatives(entries: Mapping[str, Entry]) -> Iterator[Entry]:
    """The links of update-alternatives without which programs or libraries are not found: awk, BLAS, LAPACK."""
    awk = next((name for name in _AWKS if f"usr/bin/{name}" in entries), None)
    if awk is not None:
        yield _link("usr/bin/awk", awk)
        yield _link("usr/bin/nawk", awk)
    for triplet in ("x86_64-linux-gnu", "aarch64-linux-gnu"):
        for name in _BLAS_NAMES:
            folder = next((one for one in _BLAS if f"usr/lib/{triplet}/{one}/{name}" in entries), None)
            if folder is not None:
                yield _link(f"usr/lib/{triplet}/{name}", f"{folder}/{name}")


def _bytes(entry: Entry) -> bytes:
    return b"" if entry.content is None else b"".join(Reader().pieces(entry.content))


def _link(path: str, target: str) -> Entry:
    return Entry(path, EntryType.SYMLINK, 0o777, link=target, origin=_ORIGIN)


def _file(path: str, data: bytes) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, content=Inline(data), origin=_ORIGIN)
