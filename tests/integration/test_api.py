"""mlenv as a library: what `mlenv.__all__` offers works, prints nothing, and is typed."""

import inspect
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.key_files import key_file
from support.refusals import Project
from support.signers import policy_text, signer
from support.small_projects import make_project

import mlenv
from mlenv.model.digest import Digest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = make_project(tmp_path)
    for name, value in made.environment().items():
        if name.startswith(("MLENV_", "UV_")):
            monkeypatch.setenv(name, value)
    return made


def test_load_lock_build(project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = mlenv.load(project.manifest)
    lock = mlenv.lock(manifest, project=project.root)
    image = mlenv.build(lock, output=f"oci:{tmp_path}/out", project=project.root)
    assert image.digest == lock.image_digest
    assert image.platforms == (mlenv.Platform.LINUX_AMD64,)
    assert capfd.readouterr() == ("", "")

    project.lock.write_text(lock.to_toml())
    assert mlenv.load_lock(project.lock) == lock
    assert project.run("lock", "--check").status == 0
    assert mlenv.lock(manifest, project=project.root, previous=lock) == lock


def test_sign_and_verify(project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = mlenv.load(project.manifest)
    lock = mlenv.lock(manifest, project=project.root)
    mlenv.build(lock, output=f"oci:{tmp_path}/out", project=project.root)
    (tmp_path / "trust.toml").write_text(policy_text(["alice"]))
    policy = mlenv.load_trust(tmp_path / "trust.toml")

    bundle = mlenv.sign(lock, key=mlenv.load_key(key_file(tmp_path, "alice")), serial=3, policy=policy)
    report = mlenv.verify(lock, f"oci:{tmp_path}/out", trust=policy, bundles=[bundle.to_bytes()])

    assert report.ok, report.findings
    assert report.exit_status == 0
    assert report.facts["serial"] == "3"
    report.raise_for_drift()
    assert capfd.readouterr() == ("", "")

    raw = lock.to_toml().encode()
    stranger = mlenv.sign(raw, key=mlenv.load_key(key_file(tmp_path, "mallory")), serial=4)
    refused = mlenv.verify(raw, trust=policy, bundles=[stranger.to_bytes()])
    assert refused.exit_status == 3
    with pytest.raises(mlenv.SignatureError):
        refused.raise_for_drift()
    seen = {"small": mlenv.Mark(5, Digest.of(b""), datetime.now(UTC))}
    assert not mlenv.verify(lock, trust=policy, bundles=[bundle.to_bytes()], marks=seen).ok


def test_another_image_is_drift(project: Project, tmp_path: Path) -> None:
    lock = mlenv.lock(mlenv.load(project.manifest), project=project.root)
    project.edit('version = "1"', 'version = "2"')
    other = mlenv.lock(mlenv.load(project.manifest), project=project.root)
    mlenv.build(other, output=f"oci:{tmp_path}/out", project=project.root)
    (tmp_path / "trust.toml").write_text(policy_text(["alice"]))
    policy = mlenv.load_trust(tmp_path / "trust.toml")
    bundle = mlenv.sign(lock, key=signer("alice"), serial=1)
    report = mlenv.verify(lock, f"oci:{tmp_path}/out", trust=policy, bundles=[bundle.to_bytes()])
    assert report.exit_status == 1
    with pytest.raises(mlenv.DriftError):
        report.raise_for_drift()


def test_errors_are_of_one_family(project: Project) -> None:
    with pytest.raises(mlenv.StaleLockError) as missing:
        mlenv.load_lock(project.lock)
    assert isinstance(missing.value, mlenv.MlenvError)
    assert missing.value.problems[0].hint
    project.manifest.write_text("[environment]\nname = 3\n")
    with pytest.raises(mlenv.ManifestError) as wrong:
        mlenv.load(project.manifest)
    assert len(wrong.value.problems) == 2
    with pytest.raises(mlenv.UsageError):
        mlenv.build(_any_lock(), output="what:ever")


def _any_lock() -> mlenv.Lock:
    from support.locks import lock

    return lock()


def test_every_public_name_is_there_and_documented() -> None:
    for name in mlenv.__all__:
        value = getattr(mlenv, name)
        assert inspect.getdoc(value), name
    assert sorted(mlenv.__all__) == mlenv.__all__
    assert dir(mlenv) == mlenv.__all__
    with pytest.raises(AttributeError):
        mlenv.nothing_of_that_name  # noqa: B018


def test_functions_stay_functions_after_their_packages_are_imported() -> None:
    import mlenv.build.build
    import mlenv.resolve.lock
    import mlenv.verify.verify

    assert callable(mlenv.build)
    assert callable(mlenv.lock)
    assert callable(mlenv.verify)
