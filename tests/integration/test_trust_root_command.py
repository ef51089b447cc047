"""`mlenv trust root` through the program: owners make, sign and replace a root; others follow it and nothing else."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.key_files import key_file, sign_at, trust
from support.refusals import Project, assert_refused
from support.roots import followed_by_tuf, root_of_tuf
from support.signers import policy_text, signer

from mlenv.trust.keys import KeyType

NOW = datetime.now(UTC).replace(microsecond=0)
EVERYBODY = ("alice", "bob", "carol")


@pytest.fixture
def owner(tmp_path: Path) -> Project:
    """A folder with a trust.toml and everybody's keys: bob's is Ed25519."""
    project = Project(tmp_path / "owner", tmp_path / "cache")
    for folder in (project.root, project.root.with_name("tmp")):
        folder.mkdir()
    for name in EVERYBODY:
        key_file(project.root, name, KeyType.ED25519 if name == "bob" else KeyType.ECDSA_P256)
    (project.root / "trust.toml").write_text(policy_text(["alice"], environment="small"))
    return project


def installed(project: Project) -> Path:
    return project.root.with_name("config") / "mlenv" / "trust.root.json"


def install(project: Project, root: bytes) -> None:
    """Put a root where it is believed."""
    installed(project).parent.mkdir(parents=True, mode=0o700)
    installed(project).write_bytes(root)
    installed(project).chmod(0o644)


def done(project: Project, *arguments: str) -> str:
    """What `mlenv trust root ARGUMENTS` says, which must work."""
    result = project.run("trust", "root", *arguments)
    assert result.status == 0, result.err
    return result.out + result.err


def make(project: Project, name: str, keys: Sequence[str], by: Sequence[str], *options: str) -> Path:
    """A root with these keys, signed by those of `by`."""
    done(project, "new", "trust.toml", *(f"--key={key}.key.pub" for key in keys), "--output", name, *options)
    previous = [option for option in options if option.startswith("--previous")]
    for key in by:
        done(project, "sign", name, f"--key={key}.key", *previous)
    return project.root / name


def test_owners_replace_a_key_and_followers_follow(owner: Project) -> None:
    first = make(owner, "1.json", ["alice", "bob"], ["alice", "bob"], "--threshold=2", "--expires=90d")
    said = done(owner, "update", "1.json", "--initial")
    assert "nobody vouches for a first root: compare these keys with what its owner told you" in said
    for name, kind in (("alice", KeyType.ECDSA_P256), ("bob", KeyType.ED25519)):
        assert str(signer(name, kind).public_key.fingerprint) in said
    assert installed(owner).read_bytes() == first.read_bytes()

    second = make(owner, "2.json", ["bob", "carol"], ["alice", "bob", "carol"], "--previous=1.json")
    third = make(owner, "3.json", [], ["bob", "carol"], "--previous=2.json")
    assert "it follows 2.json" in done(owner, "show", "3.json", "--previous=2.json")
    done(owner, "update", "2.json", "3.json")
    assert installed(owner).read_bytes() == third.read_bytes()
    root = json.loads(done(owner, "show", "--json"))
    assert (root["version"], root["threshold"], root["problem"]) == (3, 2, "")
    assert [key["signed"] for key in root["keys"]] == [True, True]
    assert followed_by_tuf(first.read_bytes(), second.read_bytes(), third.read_bytes(), now=NOW)


def test_a_lock_is_judged_by_the_policy_of_the_root(owner: Project, locked: Project) -> None:
    make(owner, "1.json", ["bob"], ["bob"])
    done(locked, "update", str(owner.root / "1.json"), "--initial")
    sign_at(locked, "alice", NOW)
    assert locked.run("verify", "lock").status == 0
    sign_at(locked, "carol", NOW)
    assert locked.run("verify", "lock").status == 3

    (owner.root / "trust.toml").write_text(policy_text(["carol"], environment="small"))
    make(owner, "2.json", ["bob"], ["bob"], "--previous=1.json")
    done(locked, "update", str(owner.root / "2.json"))
    assert locked.run("verify", "lock").status == 0
    installed(locked).write_text(installed(locked).read_text().replace("threshold = 1", "threshold = 1 "))
    result = locked.run("verify", "lock")
    assert_refused(result, status=3, says=["0 of the 1 signatures that version 2 itself asks for"])


def test_an_expired_root_judges_nothing_and_can_be_followed(locked: Project) -> None:
    past, later = NOW - timedelta(seconds=1), NOW + timedelta(days=1)
    fields = {"x-mlenv-trust": policy_text(["alice"])}
    install(locked, root_of_tuf("bob", expires=past, fields=fields))
    sign_at(locked, "alice", NOW)
    assert_refused(
        locked.run("verify", "lock"), status=3, says=["the root expired on ", "get version 2 from its owner"]
    )
    (locked.root.parent / "2.json").write_bytes(root_of_tuf("bob", version=2, expires=later, fields=fields))
    done(locked, "update", "../2.json")
    assert locked.run("verify", "lock").status == 0


def test_what_is_signed_is_shown_first(owner: Project) -> None:
    text = policy_text(["alice", "carol"], threshold=2, environment="fraud-*", lines=['maximum-age = "90d"'])
    (owner.root / "trust.toml").write_text(text)
    make(owner, "1.json", ["alice", "bob"], [], "--threshold=2")
    result = owner.run("trust", "root", "sign", "1.json", "--key", "alice.key")
    shown, _, after = result.err.partition("signed with ")
    assert shown.startswith("you are about to sign:\n  version 1, until ")
    for text in ("2 of these keys sign it", "fraud-*: approved by 2 of alice, carol; for 90 days", "not signed"):
        assert text in shown
    for key in EVERYBODY[::2]:
        assert str(signer(key).public_key.fingerprint) in shown
    assert after.endswith(": 1 of 2\n")
    assert result.changed == ("1.json",)


def test_a_program_that_signs(owner: Project) -> None:
    make(owner, "1.json", ["alice"], [])
    command = f"openssl dgst -sha256 -sign {owner.root / 'alice.key'}"
    done(owner, "sign", "1.json", "--key=alice.key.pub", f"--signer-command={command}")
    done(owner, "update", "1.json", "--initial")


CASES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "not the next": (["3.json"], ["3.json: version 3 does not follow version 1", "version 2 and all after it"]),
    "the same": (["1.json"], ["1.json: version 1 is the one that is trusted already"]),
    "wrong signers": (
        ["wrong.json"],
        ["wrong.json: it carries 0 of the 1 signatures that version 1, which is trusted"],
    ),
    "not enough": (["few.json"], ["few.json: it carries 1 of the 2 signatures that version 2 itself asks for"]),
    "expired": (["expired.json"], ["expired.json: the root expired on "]),
    "wrong order": (["2.json", "1.json"], ["1.json: version 1 is older than the trusted version 2"]),
    "a bad one between": (["few.json", "3.json"], ["few.json: it carries 1 of the 2"]),
    "no root": (["trust.toml"], ["trust.toml: not TUF root metadata"]),
    "no file": (["none.json"], ["none.json: cannot be read: No such file"]),
    "a folder": (["."], [".: cannot be read: "]),
    "a second first one": (["2.json", "--initial"], ["a root of trust is installed already", "leave --initial away"]),
}


@pytest.fixture
def follower(owner: Project) -> Project:
    """Somebody who follows version 1, and many files that call themselves roots."""
    later = NOW + timedelta(days=1)
    files = {
        "1.json": root_of_tuf("alice", expires=later),
        "2.json": root_of_tuf("alice", expires=later, version=2),
        "3.json": root_of_tuf("alice", expires=later, version=3),
        "wrong.json": root_of_tuf("carol", expires=later, version=2),
        "few.json": root_of_tuf("alice", "carol", by=["alice"], threshold=2, expires=later, version=2),
        "expired.json": root_of_tuf("alice", expires=NOW - timedelta(days=1), version=2),
    }
    for name, data in files.items():
        (owner.root / name).write_bytes(data)
    install(owner, files["1.json"])
    return owner


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_followed(follower: Project, case: str) -> None:
    arguments, says = CASES[case]
    before = installed(follower).read_bytes()
    result = follower.run("trust", "root", "update", *arguments, "--json")
    assert_refused(result, status=3, says=says, json_=True)
    assert installed(follower).read_bytes() == before
    assert [path.name for path in installed(follower).parent.iterdir() if path.name[0] != "."] == ["trust.root.json"]


def test_a_rollback_of_the_installed_root(follower: Project) -> None:
    done(follower, "update", "2.json")
    result = follower.run("trust", "root", "update", "1.json")
    assert_refused(result, status=3, says=["1.json: version 1 is older than the trusted version 2"])


def test_an_expired_root_on_the_way_is_no_obstacle(follower: Project) -> None:
    done(follower, "update", "expired.json", "3.json")


def test_nothing_is_believed_unasked(owner: Project) -> None:
    (owner.root / "1.json").write_bytes(root_of_tuf("alice"))
    says = ["no root of trust is installed yet", "mlenv trust root show FILE", "--initial"]
    assert_refused(owner.run("trust", "root", "update", "1.json"), status=3, says=says)
    assert_refused(owner.run("trust", "root", "show"), status=3, says=says)
    assert not installed(owner).exists()
    policy = trust(owner, policy_text(["alice"]))
    result = owner.run("trust", "root", "update", "1.json", "--initial")
    assert_refused(result, status=3, says=[f"{policy}: a trust policy is there already", "move it away"])


def test_a_root_that_others_may_write_is_not_followed(follower: Project) -> None:
    installed(follower).chmod(0o666)
    result = follower.run("trust", "root", "update", "2.json")
    assert_refused(result, status=3, says=["others can write to it", "chmod go-w"])


def test_a_link_to_the_root_stays_a_link(follower: Project) -> None:
    place = follower.root.with_name("dotfiles") / "root.json"
    place.parent.mkdir()
    installed(follower).rename(place)
    installed(follower).symlink_to(place)
    done(follower, "update", "2.json")
    assert installed(follower).is_symlink()
    assert place.read_bytes() == (follower.root / "2.json").read_bytes()


def test_two_updates_at_once(follower: Project) -> None:
    """One waits for the other, and then finds that the root is no longer the one that its chain begins after."""
    chains = [["2.json"], ["2.json", "3.json"], ["2.json"], ["2.json", "3.json"]]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "mlenv", "trust", "root", "update", *chain],
            cwd=follower.root,
            env=follower.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for chain in chains
    ]
    ends = [(run.communicate()[1], run.returncode) for run in runs]
    assert sorted(status for _, status in ends) == [0, 3, 3, 3], ends
    last = chains[[status for _, status in ends].index(0)][-1]
    assert installed(follower).read_bytes() == (follower.root / last).read_bytes()


WRONG_KEYS = {
    "not one of the root's": (["--key=carol.key"], 3, ["is no key of this root", "--previous"]),
    "a public one": (["--key=alice.key.pub"], 3, ["alice.key.pub"]),
    "none": ([], 2, ["no key to sign with"]),
    "a program that signs with another": (
        ["--key=alice.key.pub", "--signer-command=openssl dgst -sha256 -sign carol.key"],
        3,
        ["signature"],
    ),
}


@pytest.mark.parametrize("case", WRONG_KEYS)
def test_who_cannot_sign(owner: Project, case: str) -> None:
    arguments, status, says = WRONG_KEYS[case]
    (owner.root / "1.json").write_bytes(root_of_tuf("alice", by=[]))
    result = owner.run("trust", "root", "sign", "1.json", *arguments, "--quiet")
    assert_refused(result, status=status, says=says)


DRAFTS: dict[str, tuple[Sequence[str], int, Sequence[str]]] = {
    "no keys": (["trust.toml"], 2, ["a first root needs keys"]),
    "more signatures than keys": (
        ["trust.toml", "--key=alice.key.pub", "--threshold=2"],
        2,
        ["2 signatures of 1 different keys"],
    ),
    "no policy": (["alice.key.pub", "--key=alice.key.pub"], 3, ["alice.key.pub"]),
    "no policy there": (["none.toml", "--key=alice.key.pub"], 3, ["none.toml: cannot be read"]),
    "a private key": (["trust.toml", "--key=alice.key"], 3, ["alice.key: a private key"]),
    "no length of time": (["trust.toml", "--key=alice.key.pub", "--expires=soon"], 2, ["--expires 'soon'"]),
    "for ever": (["trust.toml", "--key=alice.key.pub", "--expires=9999w"], 2, ["longer than 3660 days"]),
}


@pytest.mark.parametrize("case", DRAFTS)
def test_drafts_that_cannot_be(owner: Project, case: str) -> None:
    arguments, status, says = DRAFTS[case]
    result = owner.run("trust", "root", "new", *arguments, "--output", "1.json", "--json")
    assert_refused(result, status=status, says=says, json_=True)


def test_a_draft_replaces_no_file(owner: Project) -> None:
    (owner.root / "1.json").write_bytes(root_of_tuf("alice"))
    result = owner.run("trust", "root", "new", "trust.toml", "--key=alice.key.pub", "--output=1.json")
    assert_refused(result, status=2, says=["1.json: there is a file already"])


def test_a_draft_is_shown_as_one(owner: Project) -> None:
    (owner.root / "1.json").write_bytes(root_of_tuf("alice", by=[]))
    said = done(owner, "show", "1.json")
    assert "not signed" in said
    assert "not to be trusted: it carries 0 of the 1 signatures that version 1 itself asks for" in said
