"""`mlenv verify lock` and what a build asks of a lock, through the program: who is believed, and every refusal."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.key_files import public_file, sign_at, trust
from support.refusals import Project, Result
from support.signers import policy_text

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
FIRST = "mlenv.lock.sigstore.json"


@pytest.fixture
def signed(locked: Project) -> Project:
    """A locked project that alice signed a day ago, and whose user trusts her."""
    sign_at(locked, "alice", NOW - DAY)
    trust(locked, policy_text(["alice"]))
    return locked


def report_of(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.out)
    assert document["exit_status"] == result.status
    return document


def failures(result: Result) -> dict[str, dict[str, str]]:
    return {one["check"]: one for one in report_of(result)["findings"] if one["status"] == "fail"}


def test_approved(signed: Project) -> None:
    result = signed.run("verify", "lock")
    assert result.status == 0, result
    assert result.out.startswith("verified: ")
    assert "alice" in result.out.splitlines()[0]
    assert result.changed == ()


def test_the_lock_is_what_is_verified_where_nothing_else_is_named(signed: Project) -> None:
    assert signed.run("verify").out.splitlines()[:6] == signed.run("verify", "lock").out.splitlines()[:6]


def test_quiet_says_nothing_of_what_is_well(signed: Project) -> None:
    result = signed.run("verify", "-q")
    assert (result.status, result.out, result.err) == (0, "", "")


def test_the_report_is_a_document(signed: Project) -> None:
    result = signed.run("verify", "--json")
    document = report_of(result)
    assert document["ok"] is True
    assert document["facts"]["environment"] == "small:1"
    assert document["facts"]["serial"] == "1"
    assert {one["status"] for one in document["findings"]} == {"pass"}


def edited(project: Project) -> None:
    text = project.lock.read_text()
    project.lock.write_text(text.replace("requested = true", "requested = true ", 1))
    assert project.lock.read_text() != text


def unsigned(project: Project) -> None:
    (project.root / FIRST).unlink()


def crlf(project: Project) -> None:
    project.lock.write_bytes(project.lock.read_bytes().replace(b"\n", b"\r\n"))


def flipped(*path: str) -> Callable[[Project], None]:
    """Flip a bit of base64 text in the bundle, of the bytes that it stands for."""

    def attack(project: Project) -> None:
        file = project.root / FIRST
        bundle = json.loads(file.read_bytes())
        *way, last = path
        table = bundle
        for step in way:
            table = table[int(step)] if step.isdigit() else table[step]
        data = bytearray(base64.b64decode(table[last]))
        data[len(data) // 2] ^= 1
        table[last] = base64.b64encode(data).decode()
        file.write_text(json.dumps(bundle))

    return attack


def signed_at(issued: datetime, by: str = "alice", **changes: Any) -> Callable[[Project], None]:
    def attack(project: Project) -> None:
        sign_at(project, by, issued, **changes)

    return attack


def policy(*approvers: str, **changes: Any) -> Callable[[Project], None]:
    def attack(project: Project) -> None:
        trust(project, policy_text(approvers or ("alice",), **changes))

    return attack


def revoked(*lines: str) -> Callable[[Project], None]:
    return policy(keys={"alice": lines})


LAST_WEEK = f"revoked = {NOW - 7 * DAY:%Y-%m-%dT%H:%M:%SZ}"
REFUSED: dict[str, tuple[Callable[[Project], None], str, str]] = {
    "edited": (edited, "signature.subjects", "edited after it was signed"),
    "not signed": (unsigned, "signature.present", "not signed"),
    "line ends": (crlf, "lock.line-endings", "CRLF"),
    "payload": (flipped("dsseEnvelope", "payload"), "signature.bundle", "signature"),
    "signature": (flipped("dsseEnvelope", "signatures", "0", "sig"), "signature.bundle", "signature"),
    "hint": (flipped("verificationMaterial", "publicKey", "hint"), "trust.key", "does not have"),
    "unknown key": (signed_at(NOW, by="mallory"), "trust.key", "does not have"),
    "expired": (signed_at(NOW - 40 * DAY), "signature.expiry", "expired on"),
    "in the future": (signed_at(NOW + DAY), "signature.clock", "in the future"),
    "revoked": (revoked(LAST_WEEK), "trust.key", "was revoked on"),
    "superseded": (revoked(LAST_WEEK, 'revocation-reason = "superseded"'), "trust.key", "was revoked on"),
    "key no longer valid": (revoked(f"valid-until = {NOW - DAY / 2:%Y-%m-%dT%H:%M:%SZ}"), "trust.key", "valid"),
    "key not yet valid": (revoked(f"valid-from = {NOW + DAY:%Y-%m-%dT%H:%M:%SZ}"), "trust.key", "valid"),
    "below the threshold": (policy("alice", "bob", threshold=2), "signature.threshold", "2"),
    "serial below the minimum": (policy(lines=["minimum-serial = 2"]), "signature.serial", "minimum"),
    "too old": (policy(lines=['maximum-age = "12h"']), "signature.age", "old"),
    "of no rule": (policy(environment="other"), "trust.environment", "small"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_message_of_its_own(signed: Project, name: str) -> None:
    attack, check, says = REFUSED[name]
    attack(signed)

    result = signed.run("verify", "lock", "--json")

    assert result.status == 3, result
    found = failures(result)
    assert check in found, found
    assert says in found[check]["message"]
    assert found[check]["hint"]
    text = signed.run("verify", "lock")
    assert text.status == 3
    assert text.out.startswith("FAILED: ")
    same = found[check]["message"].partition(": it is ")[0]  # the time that it is by now
    assert "".join(same.split()) in "".join(text.out.split())
    assert "Traceback" not in text.err


@pytest.mark.parametrize(
    "name", [name for name in REFUSED if name not in {"of no rule", "not signed", "edited", "line ends"}]
)
def test_a_build_refuses_what_its_policy_does_not_approve(signed: Project, name: str) -> None:
    attack, _, says = REFUSED[name]
    attack(signed)
    result = signed.run("build", "-o", "oci:out")
    assert result.status == 3, result
    assert says in result.err
    assert "  hint: " in result.err
    assert result.changed == ()


def test_a_build_of_an_approved_lock(signed: Project) -> None:
    result = signed.run("build", "-o", "oci:out")
    assert result.status == 0, result.err
    assert "mlenv.lock is approved by alice" in result.err
    assert "warning" not in result.err


def test_a_build_without_a_policy_warns(locked: Project) -> None:
    result = locked.run("build", "-o", "oci:out")
    assert result.status == 0, result.err
    assert "warning: mlenv.lock is not signed, and no trust policy covers it" in result.err
    sign_at(locked, "mallory", NOW)
    result = locked.run("build", "-o", "oci:out")
    assert result.status == 0, result.err
    assert "warning: the signatures of mlenv.lock were not checked: no trust policy covers it" in result.err
    trust(locked, policy_text(["alice"], environment="other"))
    assert "does not cover it" in locked.run("build", "-o", "oci:out").err


def test_no_policy(signed: Project) -> None:
    (signed.root.with_name("config") / "mlenv" / "trust.toml").unlink()
    result = signed.run("verify", "lock")
    assert result.status == 3
    assert "error: mlenv.lock: there is no trust policy" in result.err
    assert "--key" in result.err
    assert "mlenv trust add" in result.err


def test_without_signatures_the_first_line_says_so(signed: Project) -> None:
    unsigned(signed)
    result = signed.run("verify", "lock", "--no-signature")
    assert result.status == 0
    assert "NOT CHECKED" in result.out.splitlines()[0]


@pytest.mark.parametrize(
    "option", [("--key", "x.pub"), ("--trust", "x.toml"), ("--threshold", "1"), ("--at-serial", "1")]
)
def test_asking_nobody_and_somebody(signed: Project, option: tuple[str, str]) -> None:
    result = signed.run("verify", "lock", "--no-signature", *option)
    assert result.status == 2
    assert "--no-signature asks nobody" in result.err


def test_an_older_approval_is_not_accepted_after_a_newer_one(signed: Project) -> None:
    old_lock = signed.lock.read_bytes()
    old_bundle = sign_at(signed, "alice", NOW - DAY, serial=4).read_bytes()
    assert signed.run("verify").status == 0
    signed.edit('version = "1"', 'version = "2"')
    assert signed.run("lock", "--offline").status == 0
    sign_at(signed, "alice", NOW, serial=5)
    assert signed.run("verify").status == 0

    signed.lock.write_bytes(old_lock)
    (signed.root / FIRST).write_bytes(old_bundle)
    replay = signed.run("verify", "--json")
    assert replay.status == 3
    assert "serial 4 is too old" in failures(replay)["signature.serial"]["message"]
    assert "--at-serial 4" in failures(replay)["signature.serial"]["hint"]
    assert signed.run("verify", "--at-serial", "4").status == 0
    assert signed.run("verify", "--at-serial", "3").status == 3
    assert signed.run("verify").status == 3, "an audit must not lower the mark"


def test_a_serial_stands_for_one_lock(signed: Project) -> None:
    assert signed.run("verify").status == 0
    signed.edit('version = "1"', 'version = "2"')
    assert signed.run("lock", "--offline").status == 0
    sign_at(signed, "alice", NOW, serial=1)
    result = signed.run("verify", "--json")
    assert "accepted before for another lock" in failures(result)["signature.serial"]["message"]


def test_marks_belong_to_whom_one_trusts(signed: Project) -> None:
    sign_at(signed, "alice", NOW, serial=9)
    assert signed.run("verify").status == 0
    key = public_file(signed.root.with_name("keys"), "alice")
    sign_at(signed, "alice", NOW, serial=2)
    assert signed.run("verify").status == 3
    assert signed.run("verify", "--key", str(key)).status == 0


def test_a_clock_that_was_set_back(signed: Project) -> None:
    assert signed.run("verify").status == 0
    (marks,) = (signed.root.with_name("state") / "mlenv").glob("*.json")
    year = str(NOW.year)
    text = marks.read_text()
    assert year in text
    marks.write_text(text.replace(f'"seen":"{year}', f'"seen":"{int(year) + 1}'))
    assert marks.read_text() != text
    found = failures(signed.run("verify", "--json"))
    assert "clock was set back" in found["signature.clock"]["message"]


def test_a_serial_that_cannot_be_kept_is_told(signed: Project) -> None:
    signed.root.with_name("state").write_text("a file where a folder should be\n")
    result = signed.run("verify")
    assert result.status == 0, result
    said = " ".join(result.out.split())
    assert "serials.json: the serial of this lock cannot be remembered: " in said
    assert "and an older lock would go unnoticed" in said


def test_a_lock_beside_another_ones_bundle(signed: Project) -> None:
    other = (signed.root / FIRST).read_bytes()
    signed.edit('version = "1"', 'version = "2"')
    assert signed.run("lock", "--offline").status == 0
    (signed.root / FIRST).write_bytes(other)
    assert signed.run("verify").status == 3


def test_threshold_counts_keys_and_not_names(signed: Project, tmp_path: Path) -> None:
    key = public_file(tmp_path, "alice")
    again = tmp_path / "again.pub"
    again.write_bytes(key.read_bytes())
    sign_at(signed, "alice", NOW - DAY, as_="twin")
    result = signed.run("verify", f"--key={key}", f"--key={again}", "--threshold", "2")
    assert result.status in (2, 3), result
    assert "can never be reached" in result.err
