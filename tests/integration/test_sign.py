"""`mlenv sign` and `mlenv lock --key`, through the program: what is written, who joins whom, and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.key_files import key_file, public_file, sign_at, statement_in, trust
from support.refusals import Project, assert_refused
from support.signers import policy_text

from mlenv.model.digest import Digest
from mlenv.trust.keys import KeyType

NOW = datetime.now(UTC).replace(microsecond=0)
FIRST = "mlenv.lock.sigstore.json"


@pytest.fixture
def keys(locked: Project) -> Path:
    """Keys of alice and bob, beside the project."""
    folder = locked.root.with_name("keys")
    for name in ("alice", "bob"):
        key_file(folder, name)
    return folder


@pytest.mark.parametrize("kind", list(KeyType))
def test_the_bundle_says_what_was_locked(locked: Project, kind: KeyType) -> None:
    key = key_file(locked.root.with_name("keys"), "alice", kind)

    result = locked.run("sign", "--key", str(key), "--json")

    assert result.status == 0, result.err
    assert result.changed == (FIRST,)
    said = statement_in(locked.root / FIRST)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://mlenv.dev/lock/v1"
    digests = {one["name"]: one["digest"]["sha256"] for one in said["subject"]}
    assert digests["mlenv.lock"] == Digest.of(locked.lock.read_bytes()).hex
    assert f"sha256:{digests['image/linux/amd64']}" == locked.locked_digest()
    predicate = said["predicate"]
    assert (predicate["environment"], predicate["serial"]) == ("small", 1)
    issued, expires = (datetime.fromisoformat(predicate[name]) for name in ("issuedAt", "expires"))
    assert timedelta() <= datetime.now(UTC) - issued < timedelta(minutes=5)
    assert expires - issued == timedelta(days=365)
    document = json.loads(result.out)
    assert document["serial"] == 1
    assert document["subjects"]["mlenv.lock"] == f"sha256:{digests['mlenv.lock']}"


def test_whoever_comes_second_signs_the_same_statement(locked: Project, keys: Path) -> None:
    assert locked.run("sign", "--key", str(keys / "alice.key")).status == 0

    result = locked.run("sign", "--key", str(keys / "bob.key"), "--as", "bob")

    assert result.status == 0, result.err
    assert result.changed == ("mlenv.lock.bob.sigstore.json",)
    assert f"the same statement as {FIRST}" in result.err
    one, other = (json.loads((locked.root / name).read_bytes()) for name in (FIRST, "mlenv.lock.bob.sigstore.json"))
    assert one["dsseEnvelope"]["payload"] == other["dsseEnvelope"]["payload"]
    both = [f"--key={keys / name}.key.pub" for name in ("alice", "bob")]
    assert locked.run("verify", "lock", *both, "--threshold", "2").status == 0


def test_a_second_signer_needs_a_name(locked: Project, keys: Path) -> None:
    assert locked.run("sign", "--key", str(keys / "alice.key")).status == 0
    result = locked.run("sign", "--key", str(keys / "bob.key"))
    assert_refused(result, status=2, says=[f"{FIRST}: holds the signature of another key", "--as NAME"])


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "x" * 65, "sp ace"])
def test_names_that_are_no_names(locked: Project, keys: Path, name: str) -> None:
    result = locked.run("sign", "--key", str(keys / "alice.key"), f"--as={name}")
    if name:
        assert_refused(result, status=2, says=[repr(name)[:20]])
    else:
        assert result.changed == (FIRST,)


def test_signing_again_changes_nothing(locked: Project, keys: Path) -> None:
    assert locked.run("sign", "--key", str(keys / "alice.key")).status == 0
    result = locked.run("sign", "--key", str(keys / "alice.key"))
    assert (result.status, result.changed) == (0, ())
    assert "signed already: small, serial 1" in result.err


def test_another_expiry_is_another_statement_with_the_next_serial(locked: Project, keys: Path) -> None:
    assert locked.run("sign", "--key", str(keys / "alice.key")).status == 0
    assert locked.run("sign", "--key", str(keys / "bob.key"), "--as", "bob").status == 0

    result = locked.run("sign", "--key", str(keys / "alice.key"), "--expires", "12w")

    assert result.status == 0, result.err
    assert "mlenv.lock.bob.sigstore.json says something else: who made it has to sign again" in result.err
    said = statement_in(locked.root / FIRST)["predicate"]
    assert said["serial"] == 2
    assert locked.run("sign", "--key", str(keys / "bob.key"), "--as", "bob").status == 0
    both = [f"--key={keys / name}.key.pub" for name in ("alice", "bob")]
    assert locked.run("verify", "lock", *both, "--threshold", "2").status == 0


def test_a_new_lock_gets_the_next_serial(locked: Project, keys: Path) -> None:
    assert locked.run("sign", "--key", str(keys / "alice.key"), "--serial", "41").status == 0
    locked.edit('version = "1"', 'version = "2"')
    assert locked.run("lock", "--offline").status == 0

    assert locked.run("sign", "--key", str(keys / "bob.key")).status == 0

    assert statement_in(locked.root / FIRST)["predicate"]["serial"] == 42


def test_the_highest_serial_that_was_verified_counts_too(locked: Project, keys: Path) -> None:
    trust(locked, policy_text(["alice", "bob"]))
    assert locked.run("sign", "--key", str(keys / "alice.key"), "--serial", "7").status == 0
    assert locked.run("verify", "lock").status == 0
    (locked.root / FIRST).unlink()

    assert locked.run("sign", "--key", str(keys / "alice.key")).status == 0

    assert statement_in(locked.root / FIRST)["predicate"]["serial"] == 8


def test_the_policy_is_named(locked: Project, keys: Path) -> None:
    policy = trust(locked, policy_text(["alice"]))
    assert locked.run("sign", "--key", str(keys / "alice.key")).status == 0
    said = statement_in(locked.root / FIRST)["predicate"]
    assert said["policy"]["digest"]["sha256"] == Digest.of(policy.read_bytes()).hex


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (policy_text(["bob"]), "this key is no approver of small"),
        (policy_text(["bob"], builders=["alice"]), "this key is no approver of small"),
        (policy_text(["alice"], environment="other"), "it has no rule for small"),
        (policy_text(["alice"], keys={"alice": ["revoked = 2026-01-01T00:00:00Z"]}), "the key alice was revoked on"),
    ],
)
def test_a_signature_that_will_not_count_is_told(locked: Project, keys: Path, text: str, says: str) -> None:
    trust(locked, text)
    result = locked.run("sign", "--key", str(keys / "alice.key"))
    assert (result.status, result.changed) == (0, (FIRST,))
    assert "this signature does not count" in result.err
    assert says in result.err
    trust(locked, policy_text(["alice"]))
    assert "warning" not in locked.run("sign", "--key", str(keys / "alice.key"), "--expires", "9d").err


def test_nobody_signs_along_what_an_untrusted_key_says(locked: Project, keys: Path) -> None:
    trust(locked, policy_text(["alice"]))
    sign_at(locked, "mallory", NOW, serial=2**53 - 1)

    result = locked.run("sign", "--key", str(keys / "alice.key"), "--as", "alice")

    assert result.status == 0, result.err
    assert statement_in(locked.root / "mlenv.lock.alice.sigstore.json")["predicate"]["serial"] == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"issued_at": NOW + timedelta(days=2)}, "issued in the future"),
        ({"expires": NOW + timedelta(days=3000)}, "holds for more than 365 days"),
    ],
)
def test_what_one_would_not_say_oneself_is_not_signed_along(
    locked: Project, keys: Path, changes: dict[str, Any], says: str
) -> None:
    sign_at(locked, "bob", NOW, **changes)
    result = locked.run("sign", "--key", str(keys / "alice.key"), "--as", "alice")
    assert_refused(result, status=3, says=[f"{FIRST}: its statement can't be signed along", says])


@pytest.mark.parametrize("issued", [NOW, NOW - timedelta(days=100)])
def test_a_serial_that_leaves_none_for_later_is_neither_joined_nor_followed(
    locked: Project, keys: Path, issued: datetime
) -> None:
    sign_at(locked, "mallory", issued, serial=2**53 - 2)
    result = locked.run("sign", "--key", str(keys / "alice.key"), "--as", "alice")
    assert_refused(
        result, status=3, says=[f"{FIRST}: its serial 9007199254740990 would leave few", "0 is the last known"]
    )


def test_what_is_signed_is_shown_before_it_is(locked: Project, keys: Path) -> None:
    """A program that holds a key may ask for a touch: whoever gives it has seen for what."""
    command = "sh -c 'echo asked to sign >&2; exit 1'"
    result = locked.run("sign", "--key", str(keys / "alice.key.pub"), "--signer-command", command)
    assert result.status == 3, result
    shown, _, after = result.err.partition("asked to sign\n")
    assert "signing small, serial 1, until " in shown
    assert f"  mlenv.lock  {Digest.of(locked.lock.read_bytes())}\n" in shown
    assert f"  image/linux/amd64  {locked.locked_digest()}\n" in shown
    assert after.startswith("error: ")
    assert result.changed == ()


def test_a_statement_that_expired_is_not_joined(locked: Project, keys: Path) -> None:
    sign_at(locked, "bob", NOW - timedelta(days=100), serial=3)
    assert locked.run("sign", "--key", str(keys / "alice.key"), "--as", "alice").status == 0
    assert statement_in(locked.root / "mlenv.lock.alice.sigstore.json")["predicate"]["serial"] == 4


def test_a_bundle_that_was_changed_is_no_ground_to_sign(locked: Project, keys: Path) -> None:
    trust(locked, policy_text(["alice", "bob"]))
    sign_at(locked, "bob", NOW)
    bundle = json.loads((locked.root / FIRST).read_bytes())
    sign_at(locked, "bob", NOW, serial=9)
    other = json.loads((locked.root / FIRST).read_bytes())
    bundle["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    (locked.root / FIRST).write_text(json.dumps(bundle))
    result = locked.run("sign", "--key", str(keys / "alice.key"), "--as", "alice")
    assert_refused(result, status=3, says=[FIRST, "its signature is wrong"])


def test_a_stale_lock_is_not_signed(locked: Project, keys: Path) -> None:
    locked.edit('version = "1"', 'version = "2"')
    result = locked.run("sign", "--key", str(keys / "alice.key"))
    assert_refused(result, status=1, says=["mlenv.toml: says something else", "run `mlenv lock`"])


def test_a_lock_with_crlf_is_not_signed(locked: Project, keys: Path) -> None:
    locked.lock.write_bytes(locked.lock.read_bytes().replace(b"\n", b"\r\n"))
    result = locked.run("sign", "--key", str(keys / "alice.key"))
    assert_refused(result, status=2, says=["mlenv.lock: has CRLF line ends", "mlenv.lock -text", ".gitattributes"])


def test_a_lock_of_another_name_is_named(locked: Project, keys: Path) -> None:
    locked.lock.write_bytes(locked.lock.read_bytes().replace(b"\n", b"\r\n"))
    locked.lock.rename(locked.root / "gpu.lock")
    result = locked.run("sign", "--lock", "gpu.lock", "--key", str(keys / "alice.key"))
    assert_refused(result, status=2, says=["gpu.lock: has CRLF line ends"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--expires", "soon"), "--expires 'soon' is no length of time"),
        (("--expires", "0d"), "--expires '0d' is no length of time"),
        (("--expires", "99999d"), "is longer than"),
        (("--serial", "0"), "--serial"),
        (("--serial", str(2**53)), "the serial is not in the range"),
    ],
)
def test_terms_that_make_no_sense(locked: Project, keys: Path, arguments: tuple[str, str], says: str) -> None:
    assert_refused(locked.run("sign", "--key", str(keys / "alice.key"), *arguments), status=2, says=[says])


def test_a_serial_that_was_used_is_not_used_again(locked: Project, keys: Path) -> None:
    assert locked.run("sign", "--key", str(keys / "alice.key"), "--serial", "5").status == 0
    result = locked.run("sign", "--key", str(keys / "alice.key"), "--serial", "5")
    assert_refused(result, status=2, says=["serial 5 is not higher than 5", "use 6 or more"])


def test_no_key_at_all(locked: Project) -> None:
    assert_refused(locked.run("sign"), status=2, says=["--key", "MLENV_KEY"])


def test_the_key_may_come_from_the_environment(locked: Project, keys: Path) -> None:
    pem = (keys / "alice.key").read_text()
    assert locked.run("sign", environ={"MLENV_KEY": pem}).changed == (FIRST,)
    assert locked.run("sign", "--key", "env://RELEASE", "--expires=9d", environ={"RELEASE": pem}).changed == (FIRST,)


def test_a_program_may_sign(locked: Project, keys: Path) -> None:
    command = f"openssl dgst -sha256 -sign {keys / 'alice.key'}"
    result = locked.run("sign", "--key", str(keys / "alice.key.pub"), "--signer-command", command)
    assert (result.status, result.changed) == (0, (FIRST,)), result.err
    assert locked.run("verify", "lock", "--key", str(keys / "alice.key.pub")).status == 0


def test_a_program_that_signs_with_another_key(locked: Project, keys: Path) -> None:
    command = f"openssl dgst -sha256 -sign {keys / 'bob.key'}"
    result = locked.run("sign", "-q", "--key", str(keys / "alice.key.pub"), "--signer-command", command)
    assert_refused(result, status=3, says=["openssl: what it wrote is no signature by sha256:"])


def test_lock_and_sign_in_one_step(project: Project) -> None:
    key = key_file(project.root.with_name("keys"), "alice")
    result = project.run("lock", "--key", str(key), "--json")
    assert result.status == 0, result.err
    assert {FIRST, "mlenv.lock"} <= set(result.changed)
    assert json.loads(result.out)["signature"]["serial"] == 1
    assert project.run("verify", "lock", "--key", f"{key}.pub").status == 0


def test_a_new_lock_says_that_it_has_to_be_signed_again(locked: Project, keys: Path) -> None:
    assert locked.run("sign", "--key", str(keys / "alice.key")).status == 0
    assert "signed again" not in locked.run("lock", "--offline").err
    locked.edit('version = "1"', 'version = "2"')
    assert "have it signed again" in locked.run("lock", "--offline").err


def test_a_key_that_cannot_be_used_is_told_before_the_long_work(project: Project) -> None:
    key = public_file(project.root.with_name("keys"), "alice")
    assert_refused(project.run("lock", "--key", str(key)), status=3, says=["alice.key.pub"])


def test_a_key_that_would_go_into_the_image_is_told(locked: Project) -> None:
    key_file(locked.root / "app", "alice")
    result = locked.run("lock", "--offline")
    assert result.status == 0, result.err
    assert "warning: app/alice.key holds a private key, which goes into the image" in result.err
    assert "alice.key.pub holds" not in result.err
    locked.edit('target = "/app"', 'target = "/app"\nexclude = ["*.key"]')
    assert "holds a private key" not in locked.run("lock", "--offline").err


def test_nothing_is_signed_by_looking(locked: Project, keys: Path) -> None:
    result = locked.run("lock", "--check", "--key", str(keys / "alice.key"))
    assert_refused(result, status=2, says=["--check"])
