"""What tests are called, which run on one worker together, and which run only when asked for."""

import pytest

ENGINES = {"engine": "20.10-classic", "classic": "28.5-classic", "containerd": "28.5-containerd"}


def _engine_of(item: pytest.Function) -> str | None:
    """The engine that a test needs; starting one costs seconds, so that only one worker should."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "all_engines" in parameters:
        return str(parameters["all_engines"])
    if "modern_engine" in parameters:
        return ENGINES[str(parameters["modern_engine"])]
    return ENGINES["engine"] if "engine" in item.fixturenames else None


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes give a test no name: the workers must agree on it, and a compressor may write the time into them."""
    return argname if isinstance(val, bytes) and len(val) > 20 else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        kind = _engine_of(item) if isinstance(item, pytest.Function) else None
        if kind:
            item.add_marker(pytest.mark.xdist_group(f"engine-{kind}"))
    if "slow" in (config.option.markexpr or ""):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
