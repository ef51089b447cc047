"""`mlenv trust` as its users run it."""

import json
import os
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.programs import require_root
from support.refusals import Project, Result, assert_refused
from support.roots import root_of_tuf
from support.signers import signer

from mlenv.model.digest import Digest
from mlenv.sources.trust.serials import Serials
from mlenv.trust.judge import Mark
from mlenv.trust.keys import KeyType
from mlenv.trust.policy import TrustPolicy


class User:
    """Somebody with keys of friends, and a folder of configuration that nothing is in yet."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.root.with_name("config") / "mlenv"
        self.policy = self.folder / "trust.toml"
        self.keys = project.root.with_name("keys")
        self.keys.mkdir()
        for name in ("alice", "bob", "carol", "ci"):
            kind = KeyType.ED25519 if name == "bob" else KeyType.ECDSA_P256
            (self.keys / f"{name}.pub").write_text(signer(name, kind).public_key.pem)

    def trust(self, *arguments: str, **environ: str) -> Result:
        return self.project.run("trust", *arguments, environ=environ)

    def key(self, name: str) -> str:
        return str(self.keys / f"{name}.pub")

    def add(self, name: str, *arguments: str) -> Result:
        result = self.trust("add", name, "--key", self.key(name), *arguments)
        assert result.status == 0, result.err
        return result

    def parsed(self) -> TrustPolicy:
        return TrustPolicy.parse(self.policy.read_bytes())


@pytest.fixture
def user(project: Project) -> User:
    return User(project)


def test_a_policy_from_nothing_to_a_threshold(user: User) -> None:
    result = user.add("alice")
    assert result.out == "*: approved by alice\n"
    assert f"wrote {user.policy}" in result.err
    assert f"alice is {signer('alice').public_key.fingerprint}" in result.err
    assert user.folder.stat().st_mode & 0o777 == 0o700
    assert user.policy.stat().st_mode & 0o777 == 0o644

    result = user.add("bob", "--environment", "fraud-*")
    assert result.out == "fraud-*: approved by bob\n"
    assert "what matches fraud-* is no longer approved by the rule *" in result.err
    result = user.add("alice", "--environment", "fraud-*", "--threshold", "2")
    assert result.out == "fraud-*: approved by 2 of bob, alice\n"
    assert "compare" not in result.err, "the key is known"
    result = user.add("ci", "--environment", "fraud-*", "--role", "builder")
    assert result.out == "fraud-*: approved by 2 of bob, alice; built by ci\n"

    result = user.add("ci", "--environment", "fraud-*", "--role", "builder")
    assert "nothing to change in" in result.err
    document = tomllib.loads(user.policy.read_text())
    assert [rule["name"] for rule in document["environments"]] == ["fraud-*", "*"]
    assert list(user.folder.iterdir()) == [user.policy]


def test_what_is_shown(user: User, project: Project) -> None:
    user.add("alice")
    user.add("bob", "--environment", "small")
    user.policy.write_text(user.policy.read_text().replace('name = "small"', 'name = "small"\nmaximum-age = "90d"'))
    serials = Serials(project.root.with_name("state") / "mlenv" / "serials.json")
    mark = Mark(7, Digest.of(b"lock"), datetime(2026, 6, 1, 12, tzinfo=UTC))
    serials.raise_mark(str(user.policy), "small", mark)
    serials.raise_mark("another policy", "large", mark)
    bob = signer("bob", KeyType.ED25519).public_key.fingerprint
    result = user.trust("list")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        str(user.policy),
        "",
        "KEY    TYPE        ID            VALID",
        f"alice  ecdsa-p256  {signer('alice').public_key.fingerprint.short}  always",
        f"bob    ed25519     {bob.short}  always",
        "",
        "ENVIRONMENTS  APPROVED BY  LIMITS",
        "small         bob          for 90 days",
        "*             alice",
        "",
        "ENVIRONMENT  SERIAL  LOCK          LAST SEEN",
        f"small        7       {mark.lock.short}  2026-06-01T12:00:00Z",
    ]
    data = json.loads(user.trust("list", "--json").out)
    assert (data["path"], data["root"]) == (str(user.policy), False)
    assert data["digest"] == str(Digest.of(user.policy.read_bytes()))
    assert data["keys"][1] == {
        "name": "bob",
        "type": "ed25519",
        "id": str(bob),
        "valid_from": None,
        "valid_until": None,
        "revoked": None,
        "revocation_reason": None,
    }
    assert data["environments"][0] == {
        "name": "small",
        "approvers": ["bob"],
        "builders": [],
        "threshold": 1,
        "minimum_serial": 1,
        "maximum_age": 90 * 86400,
    }
    assert data["serials"] == {"small": {"serial": 7, "lock": str(mark.lock), "seen": "2026-06-01T12:00:00Z"}}


def test_a_damaged_record_of_serials_is_told(user: User, project: Project) -> None:
    user.add("alice")
    state = project.root.with_name("state") / "mlenv"
    state.mkdir(parents=True)
    (state / "serials.json").write_text("{")
    assert_refused(user.trust("list"), status=3, says=["serials.json: the record of serials is damaged"])


def test_a_revocation_that_leaves_too_few_is_done_and_said(user: User) -> None:
    user.add("alice", "--environment", "small")
    user.add("bob", "--environment", "small", "--threshold", "2")
    user.add("carol")
    assert user.trust("check").status == 0
    result = user.trust("revoke", "bob", "--at", "2026-06-01", "--reason", "superseded")
    assert (result.status, result.out) == (0, "bob: revoked since 2026-06-01T00:00:00Z, superseded\n")
    assert "warning: the rule 'small' needs 2 of its approvers, and only 1 can sign now: bob was revoked" in result.err
    result = user.trust("revoke", "carol", "--json")
    data = json.loads(result.out)
    assert data["key"]["revocation_reason"] == "key-compromise"
    assert data["changed"]
    assert len(data["problems"]) == 1
    assert "the rule '*'" in data["problems"][0]

    result = user.trust("check")
    says = [
        str(user.policy),
        "'small' needs 2",
        "'*' needs 1 of its approvers, and none can sign now: carol was revoked",
    ]
    assert_refused(result, status=3, says=says, problems=2)
    assert_refused(user.trust("check", "small", "--json"), status=3, says=["'small'"], json_=True)
    user.add("ci", "--environment", "small")
    result = user.trust("check", "small")
    assert (result.status, result.out, result.err) == (0, "small: approved by 2 of alice, bob, ci\n", "")

    before = user.policy.read_text()
    result = user.trust("revoke", "bob", "--at", "2026-07-01", "--reason", "superseded")
    assert "bob was revoked already" in result.err
    assert result.out == "bob: revoked since 2026-06-01T00:00:00Z, superseded\n"
    assert user.policy.read_text() == before


def test_an_environment_that_no_rule_covers(user: User) -> None:
    user.add("alice", "--environment", "small")
    says = ["no rule decides for the environment 'large'", "mlenv trust add NAME --key FILE --environment 'large'"]
    assert_refused(user.trust("check", "large"), status=3, says=says)
    assert user.trust("check", "small", "--json").status == 0


@pytest.mark.parametrize("command", [("list",), ("check",), ("check", "small"), ("revoke", "alice")])
def test_without_a_policy_the_next_step_is_named(user: User, command: tuple[str, ...]) -> None:
    result = user.trust(*command)
    assert_refused(result, status=3, says=["there is no trust policy", "`mlenv trust add NAME --key FILE.pub`"])
    assert not user.policy.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("add", "dora"), 2, "--key"),
        (("add", "dora", "--key", "absent.pub"), 3, "absent.pub: there is no such file"),
        (("add", "dora", "--key", "mlenv.toml"), 3, "mlenv.toml: "),
        (("add", "do ra", "--key", "KEY"), 2, "not a name of a key: 'do ra'"),
        (("add", "alice", "--key", "KEY"), 2, "alice is another key in the policy"),
        (("add", "dora", "--key", "KEY", "--environment", "Large"), 2, "not a pattern of environment names: 'Large'"),
        (("add", "dora", "--key", "KEY", "--threshold", "3"), 2, "a threshold of 3 where '*' has 2 approvers"),
        (("add", "dora", "--key", "KEY", "--role", "builder", "--environment", "x"), 2, "a rule needs an approver"),
        (("add", "dora", "--key", "KEY", "--role", "owner"), 2, "owner"),
        (("revoke", "dora"), 2, "the policy has no key 'dora'"),
        (("revoke", "alice", "--at", "soon"), 2, "--at 'soon' is no time"),
        (("revoke", "alice", "--at", "0001-01-01T00:00:00+14:00"), 2, "is no time"),
        (("revoke", "alice", "--reason", "bored"), 2, "bored"),
    ],
)
def test_what_cannot_be_done_changes_nothing(user: User, arguments: tuple[str, ...], status: int, says: str) -> None:
    user.add("alice")
    before = user.policy.read_bytes()
    result = user.trust(*(user.key("bob") if one == "KEY" else one for one in arguments))
    assert_refused(result, status=status, says=[says])
    assert user.policy.read_bytes() == before
    assert list(user.folder.iterdir()) == [user.policy]


def test_a_policy_that_is_wrong_or_not_believed_is_not_edited(user: User) -> None:
    user.add("alice")
    good = user.policy.read_text()
    user.policy.write_text(good + "more = 1\n")
    broken = user.policy.read_text()
    for command in (("add", "bob", "--key", user.key("bob")), ("revoke", "alice"), ("list",), ("check",)):
        assert_refused(user.trust(*command), status=3, says=[f"{user.policy}:", "unknown key 'more'"])
    assert user.policy.read_text() == broken
    user.policy.write_text(good)
    user.policy.chmod(0o666)
    for command in (("add", "bob", "--key", user.key("bob")), ("revoke", "alice"), ("list",), ("check",)):
        assert_refused(user.trust(*command), status=3, says=["others can write to it", f"chmod go-w {user.policy}"])
    assert user.policy.read_text() == good


def test_a_signed_root_is_not_edited(user: User) -> None:
    user.folder.mkdir(parents=True)
    root = user.folder / "trust.root.json"
    root.write_bytes(root_of_tuf("alice", expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)))
    root.chmod(0o644)
    before = root.read_bytes()
    for command in (("add", "bob", "--key", user.key("bob")), ("revoke", "alice")):
        result = user.trust(*command)
        assert_refused(result, status=3, says=["a signed root of trust cannot be edited", "signs a new root"])
    assert root.read_bytes() == before
    assert not user.policy.exists()
    assert user.trust("list").out.startswith(f"{root} (a signed root)\n\nKEY ")
    assert json.loads(user.trust("list", "--json").out)["root"] is True
    assert user.trust("check").status == 0


def test_another_file_by_option_or_variable(user: User, project: Project) -> None:
    named, by_variable = project.root.with_name("named.toml"), project.root.with_name("variable.toml")
    assert user.trust("add", "alice", "--key", user.key("alice"), "--trust", str(named)).status == 0
    result = user.trust("add", "bob", "--key", user.key("bob"), MLENV_TRUST=str(by_variable))
    assert result.status == 0
    assert f"wrote {by_variable} (from MLENV_TRUST)" in result.err
    assert not user.folder.exists()
    assert "alice" in user.trust("list", "--trust", str(named), MLENV_TRUST=str(by_variable)).out
    assert "bob" in user.trust("list", MLENV_TRUST=str(by_variable)).out
    absent = project.root.with_name("absent") / "trust.toml"
    result = user.trust("add", "alice", "--key", user.key("alice"), "--trust", str(absent))
    assert_refused(result, status=6, says=[str(absent.parent)])


def test_a_policy_of_the_checkout_is_checked_as_verify_would(user: User, locked: Project) -> None:
    inside = locked.root / "trust.toml"
    arguments = ("--key", user.key("alice"), "--trust", str(inside))
    assert locked.run("trust", "add", "alice", *arguments).status == 0
    result = locked.run("trust", "check", environ={"MLENV_TRUST": "trust.toml"})
    assert_refused(result, status=3, says=["the policy lies in", "as the lock does"])
    assert locked.run("trust", "check", "--trust", "trust.toml").status == 0


def test_links_modes_and_comments_stay(user: User, project: Project) -> None:
    user.add("alice")
    stored = project.root.with_name("dotfiles.toml")
    shutil.move(user.policy, stored)
    stored.write_text("# mine\n" + stored.read_text())
    stored.chmod(0o600)
    user.policy.symlink_to(stored)
    user.add("bob")
    assert user.policy.is_symlink()
    assert stored.read_text().startswith("# mine\n")
    assert stored.stat().st_mode & 0o777 == 0o600
    assert [key.name for key in user.parsed().keys] == ["alice", "bob"]


def test_many_edits_at_once_are_all_there(user: User, project: Project) -> None:
    names = [f"friend-{number}" for number in range(6)]
    for name in names:
        (user.keys / f"{name}.pub").write_text(signer(name).public_key.pem)
    running = [
        subprocess.Popen(
            project.command("trust", "add", name, "--key", user.key(name), "--environment", name[-1]),
            cwd=project.root,
            env=project.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in names
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
    assert sorted(key.name for key in user.parsed().keys) == names


def test_a_home_that_takes_no_files(user: User) -> None:
    result = user.trust("add", "alice", "--key", user.key("alice"), XDG_CONFIG_HOME="/proc/none")
    assert_refused(result, status=6, says=["/proc/none/mlenv: cannot write a trust policy there"])


def test_a_full_disk_leaves_the_policy_as_it_was(user: User, full_disk: Path) -> None:
    require_root("a small file system is mounted")
    environ = {"XDG_CONFIG_HOME": str(full_disk)}
    assert user.trust("add", "alice", "--key", user.key("alice"), **environ).status == 0
    policy = full_disk / "mlenv" / "trust.toml"
    before = policy.read_bytes()
    with (full_disk / "filler").open("wb") as file:
        while True:
            try:
                os.write(file.fileno(), b"x" * 4096)
            except OSError:
                break
    result = user.trust("revoke", "alice", **environ)
    assert_refused(result, status=6, says=["trust.toml: cannot write: No space left on device"])
    assert policy.read_bytes() == before
    assert list(policy.parent.iterdir()) == [policy]
