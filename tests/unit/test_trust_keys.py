"""What is a public key, that one key has one identity, and that no bytes make a signature check fall over."""

import base64
import textwrap

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from support.signers import signer

from mlenv.errors import SigningKeyError
from mlenv.trust.keys import KeyType, PublicKey

KINDS = list(KeyType)


def pem(der: bytes, label: str = "PUBLIC KEY") -> bytes:
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def public_pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | dsa.DSAPrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# The key itself

P256 = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExRRST79+PsrRBnGAI4cMu6Omz2Jh
fwlMW+gIutNKVRaMyS4rQKvgngc5p8UbLj55pVHhIoAxi/SRgURZI0J3Xw==
-----END PUBLIC KEY-----
"""  # from sigstore-conformance, whose bundles have its hint


def test_the_hint_is_the_one_that_sigstore_writes() -> None:
    key = PublicKey.parse(P256.encode())

    assert key.type is KeyType.ECDSA_P256
    assert key.hint == "TLMsSDfG3ajPsWge+z/vX5T/zluXnmvbkTkwLIV68Tk="
    assert base64.b64decode(key.hint).hex() == key.fingerprint.hex
    assert key.pem == P256


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_survives_writing_and_reading(kind: KeyType) -> None:
    key = signer("alice", kind).public_key

    assert key.type is kind
    assert PublicKey.parse(key.pem.encode()) == key
    assert PublicKey.parse(key.pem.replace("\n", "\r\n").encode()) == key
    assert PublicKey.parse(b"\n" + key.pem.encode().strip()) == key


def test_one_key_has_one_fingerprint_however_it_is_written() -> None:
    private = ec.derive_private_key(3, ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    plain = PublicKey.parse(public_pem(private))
    point = numbers.x.to_bytes(32, "big")
    head = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    compressed = bytes.fromhex("3039") + head + bytes.fromhex("032200") + bytes([2 + numbers.y % 2]) + point
    whole = point + numbers.y.to_bytes(32, "big")

    assert compressed != plain.spki
    assert PublicKey.parse(pem(compressed)) == plain
    assert PublicKey.parse(pem(compressed)).fingerprint == plain.fingerprint
    assert identity(pem(explicit(whole))) in (plain, None)


def test_a_hybrid_point_is_refused_for_it_is_one_bit_from_the_plain_one() -> None:
    numbers = ec.derive_private_key(3, ec.SECP256R1()).public_key().public_numbers()
    plain = PublicKey.parse(public_pem(ec.derive_private_key(3, ec.SECP256R1()))).spki

    hybrid = plain.replace(b"\x04" + numbers.x.to_bytes(32, "big"), b"\x06" + numbers.x.to_bytes(32, "big"))
    hybrid_odd = hybrid.replace(b"\x06" + numbers.x.to_bytes(32, "big"), b"\x07" + numbers.x.to_bytes(32, "big"))

    assert len({plain, hybrid, hybrid_odd}) == 3
    assert identity(pem(hybrid)) is None
    assert identity(pem(hybrid_odd)) is None


def identity(data: bytes) -> PublicKey | None:
    """The key, or None where this `cryptography` does not read such a form."""
    try:
        return PublicKey.parse(data)
    except SigningKeyError:
        return None


def explicit(point: bytes) -> bytes:
    """P-256 with its parameters written out (RFC 3279 section 2.3.5), as `openssl ec -param_enc explicit` has it."""
    head = bytes.fromhex(
        "3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100"
        "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff305b0420"
        "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc0420"
        "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b031500"
        "c49d360886e704936a6678e1139d26b7819f7e90044104"
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5022100"
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551020101034200"
    )
    return head + b"\x04" + point


# What is no key

P384 = public_pem(ec.generate_private_key(ec.SECP384R1()))
RSA = rsa.generate_private_key(65537, 2048)
PLAIN = P256.encode()
SPKI = PublicKey.parse(PLAIN).spki
ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")
REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "empty, where a public key is needed"),
    ("blank", b" \r\n\t\n", "empty, where a public key is needed"),
    ("text", b"hello\n", "not a public key"),
    ("garbage", bytes(range(256)) * 4, "not a public key"),
    ("not utf-8", b"\xff\xfe" + P256.encode("utf-16-le"), "not a public key"),
    ("large", PLAIN * 1000, "longer than 65536 bytes"),
    ("der", SPKI, "not PEM, but perhaps a public key in DER"),
    ("openssh", b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE5N alice", "an OpenSSH key"),
    ("openssh p-256", b"ecdsa-sha2-nistp256 AAAAE2VjZHNh alice", "an OpenSSH key"),
    ("rfc 4716", b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n", "an OpenSSH key"),
    ("openpgp", pem(b"abc", "PGP PUBLIC KEY BLOCK"), "a PEM file of 'PGP PUBLIC KEY BLOCK'"),
    ("certificate", pem(b"abc", "CERTIFICATE"), "a certificate, not a public key"),
    ("certificate and key", pem(b"abc", "CERTIFICATE") + PLAIN, "a certificate, not a public key"),
    ("pkcs1", pem(b"abc", "RSA PUBLIC KEY"), "an RSA key, which mlenv does not use"),
    ("rsa", public_pem(RSA), "an RSA key, which mlenv does not use"),
    ("p-384", P384, "a key on the curve secp384r1, which mlenv does not use"),
    ("secp256k1", public_pem(ec.generate_private_key(ec.SECP256K1())), "on the curve secp256k1"),
    ("ed448", pem(bytes.fromhex("3043300506032b6571033a00") + bytes(57)), "a kind of key, which mlenv does not use"),
    (
        "x25519",
        pem(bytes.fromhex("302a300506032b656e032100") + b"\x09" + bytes(31)),
        "a kind of key, which mlenv does not use",
    ),
    ("two keys", PLAIN + PLAIN, "more than one public key"),
    ("two keys of two kinds", PLAIN + P384, "more than one public key"),
    ("text before", b"the key of alice\n" + PLAIN, "more than a PEM public key"),
    ("text after", PLAIN + b"the key of alice\n", "more than a PEM public key"),
    ("byte order mark", b"\xef\xbb\xbf" + PLAIN, "more than a PEM public key"),
    ("headers", PLAIN.replace(b"\nMFkw", b"\nProc-Type: 4,ENCRYPTED\n\nMFkw"), "more than a PEM public key"),
    ("cut off", PLAIN[:100], "more than a PEM public key, or a damaged one"),
    ("wrong end", PLAIN.replace(b"END PUBLIC", b"END EC"), "more than a PEM public key, or a damaged one"),
    ("base64 cut off", PLAIN.replace(b"Xw==", b"Xw"), "its base64 is wrong"),
    ("no content", pem(b""), "a public key that cannot be read"),
    ("no der", pem(b"abc"), "a public key that cannot be read"),
    ("bytes after the der", pem(SPKI + b"\0"), "a public key that cannot be read"),
    ("der cut off", pem(SPKI[:-1]), "a public key that cannot be read"),
    ("point off the curve", pem(SPKI[:-1] + b"\x5e"), "a public key that cannot be read"),
    ("long form of a length", pem(b"\x30\x81\x59" + SPKI[2:]), "a public key that cannot be read"),
    ("ed25519 with parameters", pem(bytes.fromhex("302c300706032b65700500032100") + b"\x05" * 32), "cannot be read"),
]


@pytest.mark.parametrize(
    ("data", "message"), [(data, message) for _, data, message in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_is_no_public_key_is_called_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(SigningKeyError) as refused:
        PublicKey.parse(data, where="alice.pub")
    (problem,) = refused.value.problems
    assert message in problem.message
    assert problem.where == "alice.pub"
    assert problem.hint
    assert "\n" not in problem.message + problem.hint


def test_a_dsa_key_is_refused() -> None:
    with pytest.raises(SigningKeyError):
        PublicKey.parse(public_pem(dsa.generate_private_key(1024)))


@pytest.mark.parametrize(
    ("form", "passphrase"),
    [
        (PrivateFormat.PKCS8, b""),
        (PrivateFormat.PKCS8, b"correct horse"),
        (PrivateFormat.TraditionalOpenSSL, b""),
        (PrivateFormat.OpenSSH, b""),
    ],
)
def test_a_private_key_is_refused_and_not_shown(form: PrivateFormat, passphrase: bytes) -> None:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, form, encryption)

    for data in (private, PLAIN + private, private.replace(b"\n", b"\r\n")):
        with pytest.raises(SigningKeyError, match="a private key, where a public one is needed") as refused:
            PublicKey.parse(data)
        assert private.splitlines()[1].decode() not in repr(refused.value)


WEAK = {
    "the identity": b"\x01" + bytes(31),
    "of order 4": bytes(32),
    "of order 2": b"\xec" + b"\xff" * 30 + b"\x7f",
    "of order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "the identity, its y not reduced": b"\xee" + b"\xff" * 30 + b"\x7f",
    "not on the curve": b"\x02" + bytes(31),
}


@pytest.mark.parametrize("point", WEAK.values(), ids=WEAK.keys())
def test_an_ed25519_key_in_whose_name_others_could_sign_is_refused(point: bytes) -> None:
    with pytest.raises(SigningKeyError, match="not safe"):
        PublicKey.parse(pem(ED25519_HEAD + point))


def test_such_a_key_would_verify_a_signature_that_nobody_made() -> None:
    forged = b"\x01" + bytes(31) + bytes(32)
    identity = PublicKey(KeyType.ED25519, ED25519_HEAD + WEAK["the identity"])

    assert identity.verifies(forged, b"anything")  # this is why `parse` refuses the key


# Signatures


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_keys_own_signature_of_the_very_bytes_counts(kind: KeyType) -> None:
    alice, bob = signer("alice", kind), signer("bob", kind)
    signature = alice.sign(b"data")

    assert alice.public_key.verifies(signature, b"data")
    assert not bob.public_key.verifies(signature, b"data")
    assert not alice.public_key.verifies(signature, b"date")
    assert not alice.public_key.verifies(signature, b"")
    for bit in range(len(signature) * 8):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not alice.public_key.verifies(bytes(flipped), b"data")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_signature_by_a_key_of_the_other_type_does_not_count(kind: KeyType, other: KeyType) -> None:
    assert not signer("alice", kind).public_key.verifies(signer("bob", other).sign(b"data"), b"data")


@pytest.mark.parametrize("kind", KINDS)
def test_no_signature_bytes_raise(kind: KeyType) -> None:
    key = signer("alice", kind)
    good = key.sign(b"data")
    wrong = [b"", b"\0", b"\x30", b"\x30\x00", b"\x30\x80\0\0", bytes(64), b"\xff" * 64, bytes(10 << 20), good * 2]
    wrong += [good[:end] for end in range(len(good))] + [good + b"\0", b"\0" + good]
    wrong += [bytes.fromhex("3006020100020100"), bytes.fromhex("3006020101020101"), bytes.fromhex("30060201ff0201ff")]

    for signature in wrong:
        assert not key.public_key.verifies(signature, b"data")


def test_a_key_of_a_kind_that_parse_refuses_verifies_nothing() -> None:
    x25519 = bytes.fromhex("302a300506032b656e032100") + b"\x09" + bytes(31)

    assert not PublicKey(KeyType.ED25519, x25519).verifies(bytes(64), b"data")
