"""The form of TUF root metadata that mlenv takes: read by python-tuf, after what python-tuf does not look at."""

from typing import TYPE_CHECKING, Final

from mlenv.errors import SigningKeyError, TrustPolicyError
from mlenv.model.strict_json import parse_json, shown
from mlenv.trust.keys import KeyType, PublicKey

if TYPE_CHECKING:
    from tuf.api.metadata import Key, Metadata, Root

LARGEST_ROOT: Final = 1 << 20  # bytes

_SCHEMES: Final = {
    ("ecdsa", "ecdsa-sha2-nistp256"): KeyType.ECDSA_P256,
    ("ed25519", "ed25519"): KeyType.ED25519,
}


def read_metadata(data: bytes, *, where: str) -> "Metadata[Root]":
    """Root metadata of a form that mlenv uses, signed by anyone or no one, with any policy or none. TrustPolicyError.

    Refused besides what TUF forbids: keys of other kinds, and one key under two ids, because the library counts ids.
    """
    from tuf.api.metadata import Metadata  # noqa: PLC0415 -- slow to import
    from tuf.api.serialization import DeserializationError, SerializationError  # noqa: PLC0415 -- as above

    try:
        _require_form(parse_json(data, LARGEST_ROOT))
        metadata: Metadata[Root] = Metadata.from_bytes(data)
        metadata.signed_bytes  # noqa: B018 -- canonical JSON has no fractions: refused here, not when it is verified
    except DeserializationError as error:
        raise _not_a_root(error.__cause__ or error, where) from None
    except SerializationError:
        raise _not_a_root(ValueError("it holds a number with a fraction"), where) from None
    except ValueError as error:
        raise _not_a_root(error, where) from None
    _require_countable_keys(metadata.signed, where=where)
    return metadata


def _not_a_root(cause: BaseException, where: str) -> TrustPolicyError:
    if isinstance(cause, KeyError):
        text = f"{cause} is missing"
    else:
        text = f"{cause}" if isinstance(cause, ValueError) else "a value is of the wrong type"
    hint = "name a trust.root.json, as `mlenv trust root new` writes it"
    return TrustPolicyError(f"not TUF root metadata: {shown(text)}", where=where, hint=hint)


def public_key(key: "Key", *, where: str) -> PublicKey:
    """A key of a root, known by its SubjectPublicKeyInfo. TrustPolicyError for a kind that mlenv does not use."""
    kind = _SCHEMES.get((key.keytype, key.scheme))
    if kind is None:
        raise TrustPolicyError(
            f"a key of a kind that mlenv does not use: {shown(f'{key.keytype}, {key.scheme}')}",
            where=where,
            hint="use keys of ecdsa-sha2-nistp256 or ed25519",
        )
    try:
        text = key.keyval["public"]
        return _ed25519(text) if kind is KeyType.ED25519 else _ecdsa(text)
    except (ValueError, SigningKeyError):
        raise TrustPolicyError(
            f"the key {shown(key.keyid, 16)} holds no {kind} public key", where=where, hint="get the root again"
        ) from None


def _ed25519(text: str) -> PublicKey:
    """As any other key: one outside the group of prime order is refused, since others could sign in its name."""
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 -- as above

    key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    return PublicKey.parse(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _ecdsa(text: str) -> PublicKey:
    key = PublicKey.parse(text.encode())
    if key.type is not KeyType.ECDSA_P256:
        raise ValueError("a key of another type than its scheme")
    return key


def _require_form(value: object) -> None:
    """What python-tuf takes and TUF does not mean: ValueError."""
    if not isinstance(value, dict) or not isinstance(signed := value.get("signed"), dict):
        raise ValueError("not an object that holds an object `signed`")  # noqa: TRY004 -- as parsers raise
    if signed.get("_type") != "root":
        raise ValueError(f"metadata of another type: {shown(str(signed.get('_type')))}")
    if unsigned := value.keys() - {"signed", "signatures"}:
        raise ValueError(f"no signature covers {shown(min(unsigned))}")
    roles = signed.get("roles")
    if not isinstance(roles, dict) or not all(isinstance(role, dict) for role in roles.values()):
        raise ValueError("roles is no object of objects")
    for number in (signed.get("version"), *(role.get("threshold") for role in roles.values())):
        if type(number) is not int:  # True is an int to Python
            raise ValueError("a version or a threshold is no integer")
    if not all(isinstance(role.get("keyids"), list) for role in roles.values()):
        raise ValueError("keyids is no list")


def _require_countable_keys(root: "Root", *, where: str) -> None:
    """Every key of a kind that is known, and as many different ones for the role `root` as it has ids."""
    keys = {keyid: public_key(key, where=where) for keyid, key in root.keys.items()}
    role = root.roles["root"]
    seen: dict[bytes, str] = {}
    for keyid in role.keyids:
        if keyid not in keys:
            raise TrustPolicyError("it names a key that it does not hold", where=where, hint="get the root again")
        if other := seen.get(keys[keyid].spki):
            raise TrustPolicyError(
                f"one key under two ids, {shown(other, 16)} and {shown(keyid, 16)}, would count twice",
                where=where,
                hint="do not trust it, and ask its owner for a root that names each key once",
            )
        seen[keys[keyid].spki] = keyid
    if role.threshold > len(role.keyids):
        raise TrustPolicyError(
            f"it asks for {role.threshold} signatures of {len(role.keyids)} different keys",
            where=where,
            hint="lower the threshold, or add keys",
        )
