"""Where the policy is found that judges a lock, and which ones are not believed."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from support.programs import require_root
from support.refusals import Project, assert_refused
from support.roots import root_of_tuf
from support.signers import NOW, signer

from mlenv.errors import MlenvError, SigningKeyError, TrustPolicyError, UsageError
from mlenv.sources.trust.policies import Trust, find_trust
from mlenv.sources.trust.trees import tree_of
from mlenv.trust.keys import KeyType
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.policy_edit import FIRST_TEXT, add_key

POLICY = add_key(FIRST_TEXT, "alice", signer("alice").public_key)
OTHER = add_key(FIRST_TEXT, "bob", signer("bob").public_key)


class Place:
    """A home, and beside it a checkout with a lock in a folder of it."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.usual = self.home / ".config" / "mlenv" / "trust.toml"
        self.tree = root / "checkout"
        self.lock = self.tree / "service" / "mlenv.lock"
        self.lock.parent.mkdir(parents=True)
        self.lock.write_text("")
        (self.tree / ".git").mkdir()
        self.home.mkdir()

    def find(
        self, environ: Mapping[str, str] | None = None, *, trust: Path | None = None, lock: Path | None = None
    ) -> Trust | None:
        return find_trust({"HOME": str(self.home)} | dict(environ or {}), lock or self.lock, trust=trust)

    def refused(
        self, environ: Mapping[str, str] | None = None, *, trust: Path | None = None, lock: Path | None = None
    ) -> str:
        with pytest.raises(TrustPolicyError) as caught:
            self.find(environ, trust=trust, lock=lock)
        assert all(problem.hint for problem in caught.value.problems)
        return str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def write(path: Path, text: str = POLICY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def names(found: Trust | None) -> list[str]:
    assert found is not None
    return [key.name for key in found.policy.keys]


def test_without_any_there_is_none(place: Place) -> None:
    assert place.find() is None
    assert place.find({"HOME": "/nonexistent"}) is None
    assert place.find({"HOME": "/dev/null"}) is None
    assert place.find({"MLENV_TRUST": ""}) is None


def test_the_users_own(place: Place) -> None:
    write(place.usual)
    found = place.find()
    assert names(found) == ["alice"]
    assert found is not None
    assert (found.source, found.shown, found.path) == (str(place.usual), str(place.usual), place.usual)
    assert found.policy.digest == TrustPolicy.parse(POLICY.encode()).digest


def test_the_folder_of_configuration(place: Place, tmp_path: Path) -> None:
    write(place.usual)
    write(tmp_path / "xdg" / "mlenv" / "trust.toml", OTHER)
    assert names(place.find({"XDG_CONFIG_HOME": str(tmp_path / "xdg")})) == ["bob"]
    assert names(place.find({"XDG_CONFIG_HOME": "xdg"})) == ["alice"], "the specification has relative paths ignored"
    assert place.find({"XDG_CONFIG_HOME": str(tmp_path / "other")}) is None


def test_the_option_goes_before_the_variable_and_that_before_the_file(place: Place, tmp_path: Path) -> None:
    write(place.usual, "broken")
    write(tmp_path / "variable.toml", OTHER)
    environ = {"MLENV_TRUST": str(tmp_path / "variable.toml")}
    found = place.find(environ)
    assert names(found) == ["bob"]
    assert found is not None
    assert found.shown == f"{tmp_path / 'variable.toml'} (from MLENV_TRUST)"
    write(tmp_path / "variable.toml", "broken")
    assert names(place.find(environ, trust=write(tmp_path / "option.toml"))) == ["alice"]


def test_two_files_cannot_both_decide(place: Place) -> None:
    write(place.usual)
    write(place.usual.with_name("trust.root.json"), "{}")
    assert "both trust.toml and trust.root.json are there" in place.refused()
    write(place.usual.parents[1] / "other.toml", OTHER)
    assert names(place.find(trust=place.usual.parents[1] / "other.toml")) == ["bob"]


@pytest.mark.parametrize("variable", ["option", "variable", "usual"])
def test_a_root_is_known_by_its_content(place: Place, tmp_path: Path, variable: str) -> None:
    path = write(place.usual.with_name("trust.root.json") if variable == "usual" else tmp_path / "any", ' \n{"a": 1}')
    environ = {"MLENV_TRUST": str(path)} if variable == "variable" else {}
    assert "TOML" not in place.refused(environ, trust=path if variable == "option" else None)


def test_a_root_that_holds_and_one_that_has_expired(place: Place, tmp_path: Path) -> None:
    root = tmp_path / "any.json"
    root.write_bytes(root_of_tuf("alice", expires=NOW + timedelta(days=1)))
    found = find_trust({}, place.lock, trust=root, now=NOW)
    assert names(found) == ["alice"]
    assert found is not None
    assert found.root
    with pytest.raises(TrustPolicyError, match="expired"):
        find_trust({}, place.lock, trust=root, now=NOW + timedelta(days=2))


def test_a_file_called_root_that_is_none(place: Place) -> None:
    write(place.usual.with_name("trust.root.json"))
    assert "trust.root.json" in place.refused()


@pytest.mark.parametrize("named", ["option", "variable"])
def test_a_file_that_is_named_has_to_be_there(place: Place, tmp_path: Path, named: str) -> None:
    path = tmp_path / "absent.toml"
    environ = {"MLENV_TRUST": str(path)} if named == "variable" else {}
    message = place.refused(environ, trust=path if named == "option" else None)
    assert message.startswith(str(path))
    assert "cannot be read: No such file or directory" in message


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_dangling(path: Path) -> None:
    path.symlink_to("absent")


def make_circle(path: Path) -> None:
    path.symlink_to(path.name)


def make_large(path: Path) -> None:
    path.write_bytes(b"#" * ((1 << 20) + 1))


def make_binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [Path.mkdir, make_pipe, make_dangling, make_circle, make_large, make_binary])
def test_what_is_no_policy_is_an_error_and_not_nothing(place: Place, make: object) -> None:
    assert callable(make)
    place.usual.parent.mkdir(parents=True)
    make(place.usual)
    assert place.refused().startswith(str(place.usual))
    assert place.refused(trust=place.usual).startswith(str(place.usual))


# In the tree of the lock


def test_the_tree_of_a_lock(place: Place, tmp_path: Path) -> None:
    assert tree_of(place.lock) == place.tree
    (place.lock.parent / ".git").write_text("gitdir: elsewhere")
    assert tree_of(place.lock) == place.lock.parent, "a submodule, or a work tree of git"
    assert tree_of(tmp_path / "no" / "checkout" / "mlenv.lock") == tmp_path / "no" / "checkout"


@pytest.mark.parametrize("where", ["trust.toml", "service/trust.toml", "other/deep/trust.toml", ".git/trust.toml"])
def test_a_policy_in_the_tree_is_believed_only_by_hand(place: Place, where: str) -> None:
    path = write(place.tree / where)
    message = place.refused({"MLENV_TRUST": str(path)})
    assert f"the policy lies in {place.tree}, as the lock does" in message
    assert names(place.find({"MLENV_TRUST": str(path)}, trust=path)) == ["alice"]


def test_a_configuration_in_the_tree_is_refused(place: Place) -> None:
    write(place.tree / "config" / "mlenv" / "trust.toml")
    assert "lies in" in place.refused({"XDG_CONFIG_HOME": str(place.tree / "config")})


def test_a_policy_named_by_a_relative_path(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place.lock.with_name("trust.toml"))
    write(place.tree.with_name("outside.toml"), OTHER)
    monkeypatch.chdir(place.lock.parent)
    lock = Path("mlenv.lock")
    assert "lies in" in place.refused({"MLENV_TRUST": "trust.toml"}, lock=lock)
    assert "lies in" in place.refused({"MLENV_TRUST": "../service/trust.toml"}, lock=lock)
    assert names(place.find({"MLENV_TRUST": "../../outside.toml"}, lock=lock)) == ["bob"]


def test_links_into_the_tree_are_seen_through(place: Place, tmp_path: Path) -> None:
    inside = write(place.tree / "hidden" / "mlenv" / "trust.toml")
    (tmp_path / "file.toml").symlink_to(inside)
    assert "lies in" in place.refused({"MLENV_TRUST": str(tmp_path / "file.toml")})
    (place.home / ".config").symlink_to(inside.parents[1])
    assert "lies in" in place.refused()


def test_links_in_the_tree_that_lead_out_of_it_are_the_checkouts_too(place: Place, tmp_path: Path) -> None:
    """Whoever changes the checkout chooses which file outside is taken."""
    outside = write(tmp_path / "outside" / "trust.toml")
    (place.tree / "link.toml").symlink_to(outside)
    (place.tree / "folder").symlink_to(outside.parent)
    (tmp_path / "first.toml").symlink_to(place.tree / "link.toml")
    (tmp_path / "relative").symlink_to("checkout/folder/../folder")
    for path in (
        place.tree / "link.toml",
        place.tree / "folder" / "trust.toml",
        tmp_path / "first.toml",
        tmp_path / "relative" / "trust.toml",
    ):
        assert "lies in" in place.refused({"MLENV_TRUST": str(path)}), path
    assert names(place.find({"MLENV_TRUST": str(outside)})) == ["alice"]


def test_links_outside_of_the_tree_are_fine(place: Place, tmp_path: Path) -> None:
    """As those do who keep their configuration under version control of its own."""
    stored = write(tmp_path / "dotfiles" / "mlenv" / "trust.toml")
    (place.home / ".config").mkdir()
    (place.home / ".config" / "mlenv").symlink_to(stored.parent)
    found = place.find()
    assert found is not None
    assert (found.source, found.shown) == (str(stored), str(place.usual))


def test_a_lock_reached_by_a_link_has_the_tree_of_the_file_too(place: Place, tmp_path: Path) -> None:
    path = write(place.tree / "trust.toml")
    (tmp_path / "elsewhere").mkdir()
    lock = tmp_path / "elsewhere" / "mlenv.lock"
    lock.symlink_to(place.lock)
    assert "lies in" in place.refused({"MLENV_TRUST": str(path)}, lock=lock)
    beside = write(tmp_path / "elsewhere" / "trust.toml")
    assert "lies in" in place.refused({"MLENV_TRUST": str(beside)}, lock=lock)
    folder = tmp_path / "folder"
    folder.symlink_to(place.lock.parent)
    assert "lies in" in place.refused({"MLENV_TRUST": str(path)}, lock=folder / "mlenv.lock")


def test_a_folder_whose_name_only_begins_the_same(place: Place) -> None:
    write(place.tree.with_name("checkout-of-another") / "trust.toml", OTHER)
    assert names(place.find({"MLENV_TRUST": str(place.tree) + "-of-another/trust.toml"})) == ["bob"]


# Whoever can write a policy decides what it says


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o620])
def test_a_policy_that_others_can_write_is_not_believed(place: Place, mode: int) -> None:
    write(place.usual).chmod(mode)
    message = place.refused()
    assert f"others can write to it (mode {mode:04o})" in message
    assert "others can write" in place.refused({"MLENV_TRUST": str(place.usual)})
    assert names(place.find(trust=place.usual)) == ["alice"], "named by hand"
    place.usual.chmod(mode & 0o755)
    assert names(place.find()) == ["alice"]


def test_a_policy_of_another_user_is_not_believed(place: Place) -> None:
    require_root("a file is given to another user")
    os.chown(write(place.usual), 65534, 65534)
    assert "belongs to another user (65534)" in place.refused()
    assert names(place.find(trust=place.usual)) == ["alice"], "named by hand"


# Keys on the command line


def key_file(folder: Path, name: str, kind: KeyType = KeyType.ECDSA_P256) -> Path:
    return write(folder / f"{name}-{kind}.pub", signer(name, kind).public_key.pem)


def by_keys(place: Place, *keys: Path, threshold: int | None = None) -> Trust:
    found = find_trust({"HOME": str(place.home)}, place.lock, keys=keys, threshold=threshold)
    assert found is not None
    return found


def test_keys_make_a_policy_for_everything(place: Place, tmp_path: Path) -> None:
    write(place.usual, "broken")
    alice, bob = key_file(tmp_path, "alice"), key_file(tmp_path, "bob", KeyType.ED25519)
    found = by_keys(place, alice, bob, threshold=2)
    rule = found.policy.rule("anything")
    assert rule is not None
    assert (rule.threshold, len(rule.approvers)) == (2, 2)
    assert found.shown == f"--key {alice} --key {bob} --threshold 2"
    assert found.source == by_keys(place, bob, alice).source
    assert found.source != by_keys(place, alice).source
    assert found.source.startswith("keys:")


def test_a_key_named_twice_counts_once(place: Place, tmp_path: Path) -> None:
    alice = key_file(tmp_path, "alice")
    copy = write(tmp_path / "copy.pub", alice.read_text())
    assert by_keys(place, alice, copy).source == by_keys(place, alice).source
    with pytest.raises(UsageError, match="--threshold 2 can never be reached: --key names 1 key"):
        by_keys(place, alice, copy, threshold=2)


def test_options_that_do_not_go_together(place: Place, tmp_path: Path) -> None:
    alice = key_file(tmp_path, "alice")
    with pytest.raises(UsageError, match="exclude one another"):
        find_trust({}, place.lock, keys=[alice], trust=place.usual)
    with pytest.raises(UsageError, match="--threshold counts the keys of --key, and there are none"):
        find_trust({}, place.lock, threshold=1)
    with pytest.raises(UsageError, match="can never be reached: --key names 1 key"):
        by_keys(place, alice, threshold=2)
    for threshold in (0, -1):
        with pytest.raises(UsageError, match="would accept what nobody signed"):
            by_keys(place, alice, threshold=threshold)


@pytest.mark.parametrize(
    "text", ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "#" * 70_000]
)
def test_what_is_no_key(place: Place, tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "some.pub", text)
    with pytest.raises(SigningKeyError) as caught:
        by_keys(place, path)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    assert problem.hint


def test_a_key_that_is_not_there(place: Place, tmp_path: Path) -> None:
    with pytest.raises(MlenvError, match="there is no such file") as caught:
        by_keys(place, tmp_path / "absent.pub")
    assert isinstance(caught.value, SigningKeyError)


# Through the program


def test_the_program_refuses_a_policy_that_the_checkout_brings_along(locked: Project) -> None:
    write(locked.root / "trust.toml")
    home = {"HOME": str(locked.root.with_name("home")), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
    result = locked.run("verify", "lock", environ=home | {"MLENV_TRUST": "trust.toml"})
    assert_refused(result, status=3, says=["trust.toml (from MLENV_TRUST): the policy lies in", "--trust trust.toml"])
    result = locked.run("verify", "lock", "--trust", "trust.toml", environ=home)
    assert (result.status, result.err) == (3, "")
    assert "not signed" in result.out
