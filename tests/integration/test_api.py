"""mlenv as a library: what `mlenv.__all__` offers works, prints nothing, and is typed."""

import inspect
from pathlib import Path

import pytest
from support.refusals import Project
from support.small_projects import make_project

import mlenv


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

    assert callable(mlenv.build)
    assert callable(mlenv.lock)
