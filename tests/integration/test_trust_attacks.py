"""Attacks on `mlenv verify` and on a build under a policy, made through the program: none of them ends with 0."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.key_files import key_file, public_file, sign_at, trust
from support.refusals import Project
from support.signers import key_table, policy_text, signed, signer, statement

from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.trust.statement import Subject, lock_subjects

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
FIRST = "mlenv.lock.sigstore.json"


@pytest.fixture
def approved(locked: Project) -> Project:
    """A locked project that alice signed a day ago, and whose user trusts her."""
    sign_at(locked, "alice", NOW - DAY)
    trust(locked, policy_text(["alice"]))
    return locked


def failed_checks(project: Project, *arguments: str) -> set[str]:
    """The checks that failed, of a verification that ends with 3, as its report says too."""
    result = project.run("verify", "--json", *arguments)
    document = json.loads(result.out)
    assert (result.status, document["exit_status"], document["ok"]) == (3, 3, False), result
    return {one["check"] for one in document["findings"] if one["status"] == "fail"}


def assert_not_built(project: Project, *arguments: str) -> None:
    result = project.run("build", "-o", "oci:out", *arguments)
    assert result.status == 3, result
    assert result.changed == ()


def as_of_the_checkout(project: Project, **variables: str) -> dict[str, str]:
    """Variables that an .envrc of the checkout sets; `.` stands for its folder."""
    return {name: value.replace("./", f"{project.root}/") for name, value in variables.items()}


@pytest.mark.parametrize(
    "variables",
    [
        {"MLENV_TRUST": "./evil/mlenv/trust.toml"},
        {"MLENV_TRUST": "evil/mlenv/trust.toml"},
        {"XDG_CONFIG_HOME": "./evil"},
        {"XDG_CONFIG_HOME": "", "HOME": "./home"},
    ],
)
def test_variables_that_a_checkout_sets_bring_in_no_policy(approved: Project, variables: dict[str, str]) -> None:
    for folder in ("evil/mlenv", "home/.config/mlenv"):
        (approved.root / folder).mkdir(parents=True)
        (approved.root / folder / "trust.toml").write_text(policy_text(["mallory"]))
    sign_at(approved, "mallory", NOW)
    environ = as_of_the_checkout(approved, **variables)
    result = approved.run("verify", environ=environ)
    assert result.status == 3, result
    assert "as the lock does" in result.err
    assert approved.run("build", "-o", "oci:out", environ=environ).status == 3


def test_the_image_of_one_platform_is_not_that_of_another(approved: Project) -> None:
    lock = Lock.parse(approved.lock.read_text())
    own, *images = lock_subjects(lock, approved.lock.read_bytes())
    for subjects in (
        (own, *(Subject("image/linux/arm64", one.digest) for one in images)),
        (own, Subject("image", images[0].digest), *images),
        (own,),
        (own, *(Subject(one.name, Digest.of(b"another image")) for one in images)),
    ):
        payload = statement(lock, subjects=subjects, issued_at=NOW - DAY, expires=NOW + DAY).to_bytes()
        (approved.root / FIRST).write_bytes(signed(payload, signer("alice")).data)
        assert "signature.subjects" in failed_checks(approved)
        assert_not_built(approved)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"{", b"\xef\xbb\xbf{"),
        (b'{"_type"', b'{"predicateType":"https://spdx.dev/Document","_type"'),
        (b'"sha256":', b'"sha512":'),
        (b'"serial":1', b'"serial":1.0'),
        (b'"serial":1', b'"serial":9007199254740993'),
        (b'"subject":[', b'"subject":[{"name":"mlenv.lock","digest":{"sha256":"%s"}},' % (b"0" * 64)),
    ],
)
def test_a_signed_payload_that_two_readers_could_read_in_two_ways(approved: Project, old: bytes, new: bytes) -> None:
    lock = Lock.parse(approved.lock.read_text())
    payload = statement(lock, issued_at=NOW - DAY, expires=NOW + DAY).to_bytes()
    assert old in payload
    for changed in (payload.replace(old, new, 1), payload + new):
        (approved.root / FIRST).write_bytes(signed(changed, signer("alice")).data)
        assert "signature.statement" in failed_checks(approved)


def compressed(name: str) -> str:
    """The same P-256 key with a compressed point."""
    key = signer(name).private.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    der = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    done = subprocess.run(["base64", "-w64"], input=der, capture_output=True, check=True)
    return f"-----BEGIN PUBLIC KEY-----\n{done.stdout.decode()}-----END PUBLIC KEY-----\n"


def test_one_key_in_two_spellings_is_one_key(approved: Project, tmp_path: Path) -> None:
    key, again = public_file(tmp_path, "alice"), tmp_path / "again.pub"
    again.write_text(compressed("alice"))
    both = (f"--key={key}", f"--key={again}")
    assert approved.run("verify", *both).status == 0
    for threshold in ("2", "0", "-1"):
        result = approved.run("verify", *both, "--threshold", threshold)
        assert result.status == 2, result
        assert "  hint: " in result.err


def test_a_key_with_comments_is_no_key(approved: Project, tmp_path: Path) -> None:
    key = public_file(tmp_path, "alice")
    key.write_text(f"# of alice\n{key.read_text()}")
    assert approved.run("verify", f"--key={key}").status == 3


@pytest.mark.parametrize("what", ["fifo", "folder", "device", "loop"])
@pytest.mark.parametrize("place", ["bundle", "policy"])
def test_what_is_no_file_keeps_nobody_waiting(approved: Project, what: str, place: str, tmp_path: Path) -> None:
    path = approved.root / FIRST if place == "bundle" else tmp_path / "trust.toml"
    path.unlink(missing_ok=True)
    match what:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path.name)
    arguments = () if place == "bundle" else (f"--trust={path}",)
    result = approved.run("verify", *arguments, before=["timeout", "60"])
    assert result.status == 3, result


def test_links_among_bundles_count_no_key_twice(approved: Project) -> None:
    trust(approved, policy_text(["alice", "bob"], threshold=2))
    (approved.root / "mlenv.lock.bob.sigstore.json").symlink_to(FIRST)
    (approved.root / "mlenv.lock.carol.sigstore.json").hardlink_to(approved.root / FIRST)
    assert failed_checks(approved) >= {"signature.threshold"}


def test_bundles_of_a_lock_whose_name_begins_the_same(approved: Project) -> None:
    """`mlenv.lock.d.sigstore.json` is of mlenv.lock by d, and of mlenv.lock.d: only the digest decides."""
    other = approved.root / "mlenv.lock.d"
    other.write_bytes(approved.lock.read_bytes().replace(b'version = "1"', b'version = "2"', 1))
    (approved.root / FIRST).rename(approved.root / "mlenv.lock.d.sigstore.json")
    assert approved.run("verify").status == 0
    assert "signature.subjects" in failed_checks(approved, "--lock", "mlenv.lock.d")


def test_a_link_is_judged_for_what_it_leads_to(approved: Project) -> None:
    signed_by_other = approved.root / "other.lock"
    signed_by_other.write_text(approved.lock.read_text().replace('name = "small"', 'name = "other"'))
    link = approved.root / "current.lock"
    link.symlink_to("other.lock")
    assert_not_built(approved, "--lock", "current.lock")
    (approved.root / "other.lock.sigstore.json").write_bytes((approved.root / FIRST).read_bytes())
    (approved.root / "current.lock.sigstore.json").write_bytes((approved.root / FIRST).read_bytes())
    assert "signature.subjects" in failed_checks(approved, "--lock", "current.lock")
    assert_not_built(approved, "--lock", "current.lock")


@pytest.mark.parametrize("serial", [1, 2**53 - 1])
def test_the_ends_of_the_numbers(approved: Project, serial: int) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    sign_at(approved, "alice", NOW, serial=serial, expires=last)
    assert approved.run("verify").status == 0
    sign_at(approved, "alice", last - 31 * DAY, serial=serial, expires=last)
    assert failed_checks(approved) == {"signature.clock"}
    first = datetime(1, 1, 1, tzinfo=UTC)
    sign_at(approved, "alice", first, serial=serial, expires=first + DAY)
    assert failed_checks(approved) == {"signature.expiry"}


def test_at_serial_lifts_no_other_rule(approved: Project) -> None:
    sign_at(approved, "alice", NOW - DAY, serial=3)
    for text in (
        policy_text(["alice"], lines=["minimum-serial = 4"]),
        policy_text(["alice"], keys={"alice": [f"revoked = {NOW - DAY:%Y-%m-%dT%H:%M:%SZ}"]}),
        policy_text(["alice", "bob"], threshold=2),
    ):
        trust(approved, text)
        assert approved.run("verify", "--at-serial", "3").status == 3
        assert_not_built(approved, "--at-serial", "3")
    for wrong in ("0", "-3", "x", "99999999999999999999"):
        assert approved.run("verify", "--at-serial", wrong).status in (2, 3)


def test_many_verifications_at_once_never_accept_two_locks_of_one_serial(approved: Project) -> None:
    sign_at(approved, "alice", NOW, serial=5)
    other = approved.root / "other"
    other.mkdir()
    text = approved.lock.read_text().replace("requested = true", "requested = true ", 1)
    (other / "mlenv.lock").write_text(text)
    lock = Lock.parse(text)
    subjects = lock_subjects(lock, text.encode())
    payload = statement(lock, subjects=subjects, serial=5, issued_at=NOW, expires=NOW + DAY).to_bytes()
    (other / FIRST).write_bytes(signed(payload, signer("alice")).data)
    running = {
        name: [
            subprocess.Popen(
                approved.command("verify", "-q", "--lock", name),
                cwd=approved.root,
                env=approved.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(3)
        ]
        for name in ("mlenv.lock", "other/mlenv.lock")
    }
    ended = {name: [process.wait(60) for process in processes] for name, processes in running.items()}
    assert sorted(ended.values()) == [[0, 0, 0], [3, 3, 3]], ended


def test_another_name_gets_no_lock_past_a_policy_that_is_named(approved: Project) -> None:
    """A pull request may give its environment a name that the policy has no rule for."""
    policy = trust(approved, policy_text(["alice"], environment="small"))
    approved.edit('name = "small"', 'name = "tiny"')
    assert approved.run("lock", "--offline").status == 0
    assert failed_checks(approved) >= {"signature.subjects"}
    assert_not_built(approved, f"--trust={policy}")
    sign_at(approved, "alice", NOW)
    assert failed_checks(approved) == {"trust.environment"}
    assert_not_built(approved, f"--trust={policy}")
    result = approved.run("build", "-o", "oci:out")
    assert result.status == 0
    assert "does not cover it" in result.err


def test_a_builders_key_approves_nothing(approved: Project) -> None:
    trust(approved, policy_text(["bob"], builders=["alice"]))
    assert "signature.threshold" in failed_checks(approved)
    assert_not_built(approved)


def test_nothing_in_a_bundle_acts_on_the_terminal(approved: Project) -> None:
    hostile = "\x1b[2J\x1b[1;32mverified\x1b[0m\r\n\u202e\x9b2J"
    bundle = json.loads((approved.root / FIRST).read_bytes())
    for change in ({"mediaType": hostile}, {hostile: 1}):
        (approved.root / FIRST).write_text(json.dumps(bundle | change))
        for arguments in (("verify",), ("verify", "--json"), ("build", "-o", "oci:out")):
            result = approved.run(*arguments)
            assert result.status == 3
            assert all(line.isprintable() for line in (result.out + result.err).splitlines()), result
    policy = trust(approved, key_table("alice", signer("alice").public_key) + f"{json.dumps(hostile)} = 1\n")
    result = approved.run("verify", f"--trust={policy}")
    assert result.status == 3
    assert all(line.isprintable() for line in result.err.splitlines()), result


def test_bundles_of_many_parts_take_no_time(approved: Project) -> None:
    junk = b"[" + b"[]," * 1_390_000 + b"[]]"
    for index in range(63):
        (approved.root / f"mlenv.lock.{index}.sigstore.json").write_bytes(junk)
    assert approved.run("verify", before=["timeout", "60"]).status == 3


def test_who_signs_sees_what_a_pull_request_made_of_it(approved: Project) -> None:
    key = key_file(approved.root.with_name("keys"), "alice")
    approved.edit('name = "small"', 'name = "smaller"')
    result = approved.run("lock", "--offline", "--key", str(key))
    assert result.status == 0, result
    assert "signing smaller, serial " in result.err
    assert f"  mlenv.lock  {Digest.of(approved.lock.read_bytes())}" in result.err
