"""Roots of trust: a trust policy that is signed as TUF root metadata, and how one root follows another.

TUF specification 1.0.31, sections 4.3 (root.json) and 5.3 (how a client updates its root). python-tuf parses roots and
checks their signatures; it does so over its own canonical serialisation of what it parsed, as TUF has it. The normative
text of what is added here is schema/trust-root.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mlenv.errors import TrustPolicyError
from mlenv.trust.keys import PublicKey
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.root_form import public_key, read_metadata

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, VerificationResult

POLICY_FIELD: Final = "x-mlenv-trust"
"""The field of the signed part that holds the text of trust.toml."""


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """A root as it was read.

    `data` are its raw bytes. `threshold` of `keys` must sign it, and the next root; `signers` are those of `keys` that
    did. Whether they are enough is for `first_root` and `last_root` to say.
    """

    data: bytes
    version: int
    expires: datetime
    policy: TrustPolicy
    keys: tuple[PublicKey, ...]
    threshold: int
    signers: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class RootFile:
    """Bytes that say they are a root, and what messages call them."""

    name: str
    data: bytes


def parse_root(data: bytes, *, where: str) -> TrustRoot:
    """Read a root without believing it. Raises TrustPolicyError for whatever is none."""
    return _root(read_metadata(data, where=where), data, where=where)


def first_root(data: bytes, now: datetime, *, where: str) -> TrustRoot:
    """A root that is believed because of where it lies, or because the user says so.

    Its own threshold of its own keys must have signed it, and it must not have expired by `now`. TrustPolicyError.
    """
    return last_root(None, [RootFile(where, data)], now)


def last_root(trusted: RootFile | None, chain: Sequence[RootFile], now: datetime) -> TrustRoot:
    """The end of a chain of at least one root, each of which follows the one before; the first follows `trusted`.

    Without `trusted` the first of the chain is believed. Only the last must not have expired (section 5.3.10), and of
    the last alone is the policy read: a later root is how a policy that cannot be read is put right.
    """
    before: Metadata[Root] | None = None
    for file in [trusted, *chain] if trusted else chain:
        metadata = read_metadata(file.data, where=file.name)
        if before is None:
            _require_own(metadata, where=file.name)
        else:
            _require_next(before, metadata, where=file.name)
        before = metadata
    _require_unexpired(metadata.signed, now, where=file.name)
    return _root(metadata, file.data, where=file.name)


def _root(metadata: "Metadata[Root]", data: bytes, *, where: str) -> TrustRoot:
    root = metadata.signed
    text = root.unrecognized_fields.get(POLICY_FIELD)
    if not isinstance(text, str):
        raise TrustPolicyError(
            f"a TUF root without a trust policy: there is no text in {POLICY_FIELD}",
            where=where,
            hint="make it from a trust.toml with `mlenv trust root new`",
        )
    policy = TrustPolicy.parse(text.encode(), filename=f"{where} {POLICY_FIELD}")
    keys = {keyid: public_key(root.keys[keyid], where=where) for keyid in root.roles["root"].keyids}
    result = _own_signatures(metadata)
    signers = tuple(key for keyid, key in keys.items() if keyid in result.signed)
    return TrustRoot(data, root.version, root.expires, policy, tuple(keys.values()), result.threshold, signers)


def _own_signatures(metadata: "Metadata[Root]") -> "VerificationResult":
    return metadata.signed.get_verification_result("root", metadata.signed_bytes, metadata.signatures)


def _require_own(metadata: "Metadata[Root]", *, where: str) -> None:
    _require(_own_signatures(metadata), f"version {metadata.signed.version} itself", where=where)


def _require_next(old: "Metadata[Root]", new: "Metadata[Root]", *, where: str) -> None:
    version, trusted = new.signed.version, old.signed.version
    _require_next_version(trusted, version, where=where)
    result = new.signed.get_root_verification_result(old.signed, new.signed_bytes, new.signatures)
    _require(result.first, f"version {trusted}, which is trusted,", where=where, option=" --previous")
    _require(result.second, f"version {version} itself", where=where)


def _require(result: "VerificationResult", whose: str, *, where: str, option: str = "") -> None:
    if not result.verified:
        raise TrustPolicyError(
            f"it carries {len(result.signed)} of the {result.threshold} signatures that {whose} asks for",
            where=where,
            hint=f"do not trust it before those who hold the keys did `mlenv trust root sign{option}`",
        )


def _require_next_version(old: int, new: int, *, where: str) -> None:
    if new == old:
        message, hint = f"version {new} is the one that is trusted already", f"give version {old + 1} if there is one"
    elif new < old:
        message, hint = f"version {new} is older than the trusted version {old}", "never go back: ask why it was given"
    elif new > old + 1:
        message, hint = f"version {new} does not follow version {old}", f"give version {old + 1} and all after it"
    else:
        return
    raise TrustPolicyError(message, where=where, hint=hint)


def _require_unexpired(root: "Root", now: datetime, *, where: str) -> None:
    if root.is_expired(now):
        raise TrustPolicyError(
            f"the root expired on {root.expires.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            where=where,
            hint=f"get version {root.version + 1} from its owner, then run `mlenv trust root update FILE`",
        )
