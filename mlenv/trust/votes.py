"""What one bundle says about a lock, as far as that can be known without reading the lock: schema/trust.md, "A bundle".

A bundle either votes for the lock's very bytes with a key of the policy, or there is one reason why it does not.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mlenv.model.digest import Digest
from mlenv.model.strict_json import shown
from mlenv.trust.bundle import Bundle
from mlenv.trust.envelope import Envelope, decode
from mlenv.trust.judgement import NamedBundle
from mlenv.trust.policy import TrustedKey, TrustPolicy
from mlenv.trust.statement import LOCK_SUBJECT, LockStatement

_NAMED: Final = 5  # keys of the policy that a hint lists


@dataclass(frozen=True, slots=True)
class Vote:
    """A true signature of a key of the policy over a statement about the lock's bytes.

    `payload` are the bytes that were signed: those who sign together sign the same.
    """

    bundle: str
    key: TrustedKey
    payload: bytes
    statement: LockStatement


@dataclass(frozen=True, slots=True)
class NoVote:
    """Why a bundle does not count. `damaged`: it is not what it says it is, and fails whatever the others say."""

    bundle: str
    check: str
    message: str
    hint: str
    expected: str = ""
    observed: str = ""
    damaged: bool = False


def vote(bundle: NamedBundle, policy: TrustPolicy, lock: bytes, now: datetime) -> Vote | NoVote:
    """Look at one bundle. Its statement is parsed only after its signature was found to be true."""
    try:
        parsed = Bundle.parse(bundle.data)
    except ValueError as error:
        message = f"it cannot be read: {shown(str(error), 200)}"
        hint = "restore the file from version control, or remove it if it is no bundle of mlenv's"
        return NoVote(bundle.name, "signature.bundle", message, hint, damaged=True)
    key = policy.key(parsed.hint)
    if key is None:
        return _unknown(bundle, parsed.hint, policy)
    if not parsed.envelope.is_signed_by(key.public_key):
        return NoVote(
            bundle.name,
            "signature.bundle",
            f"the signature is not one of {key.name!r}, whose key it names: something was changed or forged",
            f"get the bundle again from {key.name!r}, or have the lock signed again",
            expected=f"a signature by {key.public_key.fingerprint}",
            observed="another signature",
            damaged=True,
        )
    return _signed(bundle.name, key, parsed.envelope, lock, now)


def _unknown(bundle: NamedBundle, hint: str, policy: TrustPolicy) -> NoVote:
    names = [_called(key) for key in policy.keys]
    known = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    fingerprint = f"sha256:{decode(hint).hex()}"
    return NoVote(
        bundle.name,
        "trust.key",
        f"it names a key that the policy does not have: {fingerprint}",
        f"the policy has {known}; a key that you trust is added with `mlenv trust add`",
        expected=known,
        observed=fingerprint,
    )


def _called(key: TrustedKey) -> str:
    """A key's name and the beginning of its fingerprint, which is the name where a command line gave the key."""
    short = key.public_key.fingerprint.short
    return f"sha256:{short}…" if key.name == short else f"{key.name} (sha256:{short}…)"


def _signed(bundle: str, key: TrustedKey, envelope: Envelope, lock: bytes, now: datetime) -> Vote | NoVote:
    """What a true signature is over."""
    try:
        statement = LockStatement.parse(envelope.payload)
    except ValueError as error:
        message = f"{key.name!r} signed something that approves no lock: {shown(str(error), 200)}"
        return NoVote(bundle, "signature.statement", message, "have the lock signed with `mlenv sign`")
    (signed,) = [one.digest for one in statement.subjects if one.name == LOCK_SUBJECT]
    if signed != Digest.of(lock):
        return _another_lock(bundle, key, statement, signed, lock)
    if refusal := key.refusal(statement.issued_at, now):
        hint = "have the lock signed with another key" if key.revoked else "have it signed with a key that is valid now"
        return NoVote(bundle, "trust.key", f"the key {key.name!r} {refusal}", hint)
    return Vote(bundle, key, envelope.payload, statement)


def _another_lock(bundle: str, key: TrustedKey, statement: LockStatement, signed: Digest, lock: bytes) -> NoVote:
    if signed == Digest.of(lock.replace(b"\r\n", b"\n")):
        message = f"{key.name!r} signed this lock with LF line endings, and here they are CRLF"
        hint = "undo the conversion of line endings"
    else:
        approval = f"{key.name!r} signed serial {statement.serial} of {statement.environment!r}"
        message = f"{approval} over other bytes: the lock was edited after it was signed, or this is another lock"
        hint = "restore the lock that was signed; if the change is wanted, have it signed again with `mlenv sign`"
    return NoVote(bundle, "signature.subjects", message, hint, str(signed), str(Digest.of(lock)))
