"""What a relock says that it changed."""

from support.locks import contents, layer, lock, wheel

from mlenv.model.lock_changes import package_changes


def test_each_package_that_came_went_or_moved_has_a_line() -> None:
    before = lock().platforms[0]
    layers = (layer("debian", "libc6"), layer("venv"), layer("wheels", "beta", "gamma"), layer("files", "/app"))
    after = lock(contents(wheels=(wheel("beta", "2.0"), wheel("gamma")), layers=layers)).platforms[0]
    assert package_changes(before, after) == ["- alpha 1.0", "beta 1.0 -> 2.0", "+ gamma 1.0"]
    assert package_changes(before, before) == []
    assert package_changes(None, before) == ["+ alpha 1.0", "+ beta 1.0", "+ libc6 2.41-12 (Debian)"]
