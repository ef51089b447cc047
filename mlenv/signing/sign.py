"""Lock -> signed bundle: whether to join what others signed, or to begin a statement of one's own.

Signers of one lock sign one and the same statement, each in a bundle of its own, because a threshold counts only
signatures of the same bytes. So whoever comes second joins: the serial and the times are those of the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mlenv.errors import LockFormatError, SignatureError, UsageError
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.sources.trust.bundles import bundle_path, read_bundles, write_bundle
from mlenv.trust.bundle import Bundle
from mlenv.trust.freshness import TOLERANCE
from mlenv.trust.judgement import NamedBundle
from mlenv.trust.keys import PublicKey, Signer
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.statement import SERIALS, LockStatement, lock_subjects

VALIDITY = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the signer decides. `expires` is the time from now until when it holds, `serial` its number.

    Either begins a new statement; where both are left out, the statement that others signed is joined.
    """

    expires: timedelta | None = None
    serial: int | None = None

    @property
    def chosen(self) -> bool:
        """Whether the signer wants a statement of its own."""
        return self.expires is not None or self.serial is not None


@dataclass(frozen=True, slots=True)
class Signed:
    """What came of signing: the file, the statement, and the files of those who signed the same one before.

    `outdated` are bundles beside the lock that say something else, of an earlier lock or under an earlier serial.
    `changed` is False where this key had signed this very statement already.
    """

    path: Path
    bundle: Bundle
    statement: LockStatement
    joined: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()
    changed: bool = True


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A bundle that lies beside the lock, and what it says. Its signature was checked where `_read` could."""

    name: str
    bundle: Bundle
    statement: LockStatement


def sign_lock(
    lock_path: Path,
    data: bytes,
    lock: Lock,
    signer: Signer,
    *,
    now: datetime,
    name: str = "",
    terms: Terms = Terms(),
    policy: TrustPolicy | None = None,
    seen: int = 0,
    announce: Callable[[LockStatement], None] = lambda _: None,
) -> Signed:
    """Sign the lock whose raw bytes are `data`, and write the bundle beside it under the signer's `name`.

    `policy` is the trust policy that the signer lives under: its digest goes into a new statement, and only bundles by
    its keys are joined or counted. `seen` is the highest serial that is known from elsewhere. `announce` gets what is
    about to be signed, before it is: a key of hardware asks for a touch then. Raises SignatureError, SigningKeyError,
    UsageError, LockFormatError for a lock with CRLF, UnavailableError.
    """
    own = signer.public_key
    earlier = _read(read_bundles(lock_path), own, policy)
    subjects = lock_subjects(lock, data)
    for_this_lock = [one for one in earlier if one.statement.subjects == subjects]
    path = bundle_path(lock_path, name)
    _check_place(path, for_this_lock, own)
    _check_serials(earlier, own, seen)
    newest = max(for_this_lock, key=lambda one: one.statement.serial, default=None)
    if newest is None or terms.chosen or newest.statement.expires <= now:
        serial = _serial(terms, max([seen, *(one.statement.serial for one in earlier)]))
        digest = policy.digest if policy else None
        statement = new_statement(
            lock, data, now=now, serial=serial, expires=terms.expires, policy=digest, where=str(lock_path)
        )
        payload = statement.to_bytes()
    else:
        _check_joined(newest, lock, now)
        statement, payload = newest.statement, newest.bundle.envelope.payload
    same = [one for one in for_this_lock if one.bundle.envelope.payload == payload]
    mine = next((one for one in same if one.bundle.hint == own.hint), None)
    if mine is None:
        announce(statement)
        bundle = Bundle.sign(payload, signer)
        write_bundle(path, bundle)
    return Signed(
        path if mine is None else path.with_name(mine.name),
        bundle if mine is None else mine.bundle,
        statement,
        joined=tuple(one.name for one in same if one.bundle.hint != own.hint),
        outdated=tuple(one.name for one in earlier if one not in same and one.name != path.name),
        changed=mine is None,
    )


def new_statement(
    lock: Lock,
    data: bytes,
    *,
    now: datetime,
    serial: int,
    expires: timedelta | None,
    policy: Digest | None,
    where: str = "mlenv.lock",
) -> LockStatement:
    """What is said of a lock from `now` on. LockFormatError for a lock with CRLF, which some checkout made of it.

    `where` is what messages call the lock. UsageError for terms that no statement can have.
    """
    if b"\r\n" in data:
        raise LockFormatError(
            "has CRLF line ends, which `mlenv lock` does not write",
            where=where,
            hint="add `mlenv.lock -text` to .gitattributes and check the file out again",
        )
    now = now.replace(microsecond=0)
    try:
        return LockStatement(
            lock_subjects(lock, data), lock.environment.name, serial, now, now + (expires or VALIDITY), policy
        )
    except (ValueError, OverflowError) as error:
        raise UsageError(f"that can't be signed: {error}", hint="choose another serial, expiry or name") from None


def _read(bundles: Sequence[NamedBundle], own: PublicKey, policy: TrustPolicy | None) -> list[_Earlier]:
    """The bundles that can be believed: by one's own key or, where there is a policy, by one of its keys."""
    found = []
    for one in bundles:
        try:
            bundle = Bundle.parse(one.data)
            statement = LockStatement.parse(bundle.envelope.payload)
        except ValueError:
            continue  # no bundle of a lock: `mlenv verify` says what it is
        trusted = policy.key(bundle.hint) if policy else None
        key = own if bundle.hint == own.hint else trusted.public_key if trusted else None
        if key is not None and not bundle.envelope.is_signed_by(key):
            raise SignatureError(
                "its signature is wrong: it or what it signs was changed",
                where=one.name,
                hint="restore the file from version control, or remove it",
            )
        if key is not None or policy is None:
            found.append(_Earlier(one.name, bundle, statement))
    return found


def _check_place(path: Path, for_this_lock: Sequence[_Earlier], own: PublicKey) -> None:
    """One signer never takes the place of another."""
    for one in for_this_lock:
        if one.name == path.name and one.bundle.hint != own.hint:
            raise UsageError(
                "holds the signature of another key over this lock",
                where=str(path),
                hint="give your own bundle a name: --as NAME",
            )


def _check_serials(earlier: Sequence[_Earlier], own: PublicKey, seen: int) -> None:
    """Nobody else's serial uses up what is left for later approvals: one that was once accepted is never undone."""
    known = max([seen, *(one.statement.serial for one in earlier if one.bundle.hint == own.hint)])
    for one in earlier:
        if one.bundle.hint != own.hint and one.statement.serial > (known + SERIALS) // 2:
            raise SignatureError(
                f"its serial {one.statement.serial} would leave few for later approvals, and {known} is the last known",
                where=one.name,
                hint="remove the file, and ask who made it",
            )


def _check_joined(newest: _Earlier, lock: Lock, now: datetime) -> None:
    """What is signed along is not more than one would have said oneself."""
    said = newest.statement
    if said.environment != lock.environment.name:
        reason = f"it is about the environment {said.environment}"
    elif said.issued_at > now + TOLERANCE:
        reason = f"it was issued in the future, {said.issued_at:%Y-%m-%d %H:%M:%S} UTC"
    elif said.expires > said.issued_at + VALIDITY:
        reason = f"it holds for more than {VALIDITY.days} days"
    else:
        return
    raise SignatureError(
        f"its statement can't be signed along: {reason}",
        where=newest.name,
        hint="remove the file, or begin a statement of your own with --expires",
    )


def _serial(terms: Terms, highest: int) -> int:
    if terms.serial is not None and terms.serial <= highest:
        raise UsageError(
            f"the serial {terms.serial} is not higher than {highest}, which was used already",
            hint=f"leave --serial out, or use {highest + 1} or more",
        )
    return highest + 1 if terms.serial is None else terms.serial
