"""The highest serial that was accepted for each environment, so that an older lock is noticed (high-water mark).

    {"version": 1, "marks": {SOURCE: {ENVIRONMENT: {"serial": 7, "lock": "sha256:…", "seen": "2026-06-01T12:00:00Z"}}}}

SOURCE is the source of trust: the path of a policy, or `keys:` and fingerprints. Two of them never share a mark.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from mlenv.errors import SignatureError, TrustPolicyError, UnavailableError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.moments import rfc3339
from mlenv.model.strict_json import parse_json, shown
from mlenv.sources.trust.alone import alone
from mlenv.sources.trust.folders import state_folder
from mlenv.sources.whole_file import write_whole
from mlenv.trust.fields import integer, members, moment, text
from mlenv.trust.judgement import Mark

LARGEST: Final = 64 << 20  # bytes
_VERSION: Final = 1
_Marks = dict[str, dict[str, Mark]]


class Serials:
    """The marks in one file, shared by all processes of a user. `path` is None where there is no place for state."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """`serials.json` in the user's folder of state (XDG base directory specification)."""
        folder = state_folder(environ)
        return cls(folder / "serials.json" if folder else None)

    def marks(self, source: str) -> dict[str, Mark]:
        """The mark of every environment that this source of trust accepted a lock for.

        TrustPolicyError where the file is damaged or cannot be read: to begin anew would forget the marks.
        """
        return dict(self._read().get(source, {}))

    def raise_mark(self, source: str, environment: str, mark: Mark) -> None:
        """Keep a mark. A serial never goes down, nor does the time last seen go back; of one serial there is one lock.

        UnavailableError where it cannot be kept: the lock is no worse for that, but whoever looks has to be told.
        SignatureError where another lock of the same serial was accepted meanwhile.
        """
        with self._alone() as path:
            marks = self._read()
            before = marks.get(source, {}).get(environment)
            marks.setdefault(source, {})[environment] = _higher(before, mark, environment)
            write_whole(path, [_to_bytes(marks)], mode=0o600)

    @contextmanager
    def _alone(self) -> Iterator[Path]:
        """Holds the lock of the file: nobody else writes meanwhile."""
        if self.path is None:
            raise UnavailableError(
                "the serial of this lock cannot be remembered: there is no home folder",
                hint="set XDG_STATE_HOME to a folder that is kept from one run to the next",
            )
        path = self.path
        with alone(path.with_name(f"{path.name}.lock"), lambda error: _not_kept(error, path)):
            yield path

    def _read(self) -> _Marks:
        if self.path is None:
            return {}
        try:
            with self.path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise TrustPolicyError(
                f"the record of serials cannot be read: {error.strerror}",
                where=str(self.path),
                hint="make it readable for you, or point XDG_STATE_HOME at another folder",
            ) from None
        try:
            return _parse(data)
        except ValueError as error:
            raise TrustPolicyError(
                f"the record of serials is damaged: {shown(str(error))}",
                where=str(self.path),
                hint="restore it from a backup; once it is deleted, older locks are accepted again",
            ) from None


def _higher(before: Mark | None, mark: Mark, environment: str) -> Mark:
    if before is None:
        return mark
    if before.serial == mark.serial and before.lock != mark.lock:
        raise SignatureError(
            f"another lock with serial {mark.serial} was accepted for {shown(environment)!r}: {before.lock}",
            hint="have one of the two signed again: it gets a serial of its own",
        )
    highest = max(before, mark, key=lambda one: one.serial)
    return Mark(highest.serial, highest.lock, max(before.seen, mark.seen))


def _to_bytes(marks: _Marks) -> bytes:
    value = {
        source: {
            environment: {
                "serial": mark.serial,
                "lock": str(mark.lock),
                "seen": rfc3339(mark.seen),
            }
            for environment, mark in of_source.items()
        }
        for source, of_source in marks.items()
    }
    return canonical_json({"version": _VERSION, "marks": value}) + b"\n"


def _parse(data: bytes) -> _Marks:
    """ValueError for anything but what `_to_bytes` writes."""
    document = parse_json(data, LARGEST)
    if not isinstance(document, dict) or set(document) != {"version", "marks"}:
        raise ValueError("not an object of version and marks")
    version = document["version"]
    if type(version) is not int or version != _VERSION:
        raise ValueError(f"of version {shown(str(version))}, which this mlenv does not know")
    return {
        source: {environment: _mark(value) for environment, value in _object(of_source).items()}
        for source, of_source in _object(document["marks"]).items()
    }


def _mark(value: Any) -> Mark:
    found = members(value, "a mark", ["serial", "lock", "seen"])
    serial = integer(found["serial"], "serial")
    if serial < 1:
        raise ValueError(f"serial {serial} is less than 1")
    return Mark(serial, Digest.parse(text(found["lock"], "lock")), moment(found["seen"], "seen"))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a list or a single value, where an object is expected")  # noqa: TRY004 -- a parser
    return value


def _not_kept(error: OSError, path: Path) -> UnavailableError:
    return UnavailableError(
        f"the serial of this lock cannot be remembered: {error.strerror}",
        where=str(path),
        hint="make the folder writable for you, or point XDG_STATE_HOME at one that is",
    )
