"""A Debian archive's InRelease: the one signed file from which everything else follows by sha256.

Bytes go in, nothing is fetched: so every attack is a unit test. What is parsed is the text that the signature covers,
never the file around it. Of the hashes only SHA256 is read.
Format: Debian repository format, "Release" files.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from mlenv.errors import RefusedError, SignatureError
from mlenv.model.digest import Digest
from mlenv.sources.debian.hints import ANOTHER_MIRROR

_SKEW = timedelta(hours=1)  # how far ahead of the clock here an archive's clock may be
_LINE = re.compile(r"([0-9a-f]{64}) +([0-9]{1,15}) +([!-~]+)")


@dataclass(frozen=True, slots=True)
class Release:
    """What a Release file says. `files` maps a path below it to (digest, size in bytes)."""

    where: str
    names: frozenset[str]
    date: datetime
    valid_until: datetime | None
    by_hash: bool
    separate_all: bool
    files: dict[str, tuple[Digest, int]]

    def require_suite(self, suite: str) -> None:
        """Raise SignatureError unless it is the Release of that suite: another one's is signed just as well."""
        if suite not in self.names:
            names = " and ".join(sorted(self.names)) or "no suite"
            raise SignatureError(
                f"the mirror serves the signed index of {names} in place of {suite}",
                where=self.where,
                hint="use another mirror; if this goes on, somebody may be replaying another suite's index",
            )

    def require_valid(self, now: datetime, snapshot: datetime | None) -> None:
        """Raise SignatureError unless it is valid at the snapshot's time, or now where there is none."""
        moment = snapshot or now
        if self.valid_until is not None and self.valid_until < moment:
            raise SignatureError(
                f"the index was valid until {_show(self.valid_until)}, and {_what(snapshot)} is {_show(moment)}",
                where=self.where,
                hint="use a mirror that is up to date, or set base.debian.snapshot to a time to judge it at",
            )
        if self.date > moment + (timedelta() if snapshot else _SKEW):
            raise SignatureError(
                f"the index was made at {_show(self.date)}, and {_what(snapshot)} is {_show(moment)}",
                where=self.where,
                hint="name a later base.debian.snapshot, or a mirror that keeps the archive of that time"
                if snapshot
                else "set this machine's clock",
            )


def verified_payload(signed: bytes, keyring: bytes, *, where: str) -> bytes:
    """The text of an InRelease that at least one certificate of the keyring signed. Raises SignatureError."""
    import pysequoia  # noqa: PLC0415 -- a native library of some megabytes, needed for a fresh lock only

    try:
        certificates = pysequoia.Cert.split_bytes(keyring)
    except Exception as error:  # the library raises its own and plain exceptions
        raise SignatureError(f"the keyring cannot be read: {_one_line(error)}", where=where, hint=_KEYRING) from error
    try:
        result = pysequoia.verify(signed, store=lambda _ids: certificates)
        payload = None if result.bytes is None else bytes(result.bytes)
        good = len(result.valid_sigs)
    except Exception as error:
        raise SignatureError(f"the signature does not hold: {_one_line(error)}", where=where, hint=_KEYRING) from error
    if good == 0 or payload is None:
        raise SignatureError("no key of the keyring signed this", where=where, hint=_KEYRING)
    return payload


_KEYRING = (
    "use a mirror that serves Debian's signed indexes, and a keyring with the suite's keys "
    "(package debian-archive-keyring, or base.debian.keyring in mlenv.toml)"
)


def parse_release(payload: bytes, *, where: str) -> Release:
    """Read the verified text. Raises RefusedError where it is no Release file."""
    try:
        fields = _fields(payload.decode("utf-8"))
        until = fields.get("valid-until")
        return Release(
            where=where,
            names=frozenset(fields[key] for key in ("suite", "codename") if fields.get(key)),
            date=_time(fields["date"]),
            valid_until=None if until is None else _time(until),
            by_hash=fields.get("acquire-by-hash") == "yes",
            separate_all="all" in fields.get("architectures", "").split()
            and "Packages" not in fields.get("no-support-for-architecture-all", "").split(),
            files=_files(fields["sha256"]),
        )
    except KeyError as error:
        raise RefusedError(f"not a Release file: no field {error}", where=where, hint=ANOTHER_MIRROR) from error
    except (ValueError, TypeError) as error:
        raise RefusedError(f"not a Release file: {error}", where=where, hint=ANOTHER_MIRROR) from error


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in {" ", "\t"} and name:
            fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            if name in fields:
                raise ValueError(f"field {name} twice")
            fields[name] = value.strip()
        elif line.strip():
            raise ValueError(f"line without a field: {line[:80]!r}")
    return fields


def _files(section: str) -> dict[str, tuple[Digest, int]]:
    files: dict[str, tuple[Digest, int]] = {}
    for line in filter(None, section.splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line in SHA256: {line[:80]!r}")
        files[match[3]] = (Digest(match[1]), int(match[2]))
    return files


def _time(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _show(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _what(snapshot: datetime | None) -> str:
    return "now it" if snapshot is None else "the snapshot asked for"


def _one_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]  # a backtrace follows
