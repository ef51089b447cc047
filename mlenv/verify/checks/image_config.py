"""Compares an image's config with what the lock says of it, field by field: what to tell of a digest that differs.

The config of an image on Debian packages follows from the lock alone. One on a base image also holds what came with
the base, of which the lock knows only a digest: that is not judged, but listed.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlenv.layers.image import VENV, image_bytes
from mlenv.model.lock import Lock, LockedPlatform
from mlenv.model.report import Finding
from mlenv.model.strict_json import parse_json, shown
from mlenv.oci.observed import ObservedImage
from mlenv.verify.checks.place import Place

_SHOWN = 300
_PATH = "Env PATH"
_OURS = ("created", "os", "architecture", "User", "WorkingDir", "diff_ids", "history")
_BY_NAME = ("Env", "Labels", "ExposedPorts", "Volumes")  # each of their names is a field of its own

Fields = dict[str, Any]


def check_config_fields(lock: Lock, platform: LockedPlatform, image: ObservedImage, place: Place) -> Iterator[Finding]:
    """For a config whose digest is not the locked one: a finding for each field that is not as locked."""
    try:
        observed = parse_json(image.config_data)
        own = len(platform.layers)
        found = _fields(observed, own)
    except (ValueError, TypeError, AttributeError):
        return  # a config that can't be read has a finding of its own
    wanted = _fields(json.loads(image_bytes(lock.environment, lock.container, platform, None).config), own)
    on_base = platform.base.kind == "image"
    if on_base and str(found.get(_PATH, "")).startswith(f"{VENV}/bin:") and "PATH" not in lock.container.env:
        wanted[_PATH] = found[_PATH]  # what follows is the base's
    at = image.config.digest if image.config else None
    differ = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    for name in differ:
        if not on_base or _is_certain(name, wanted, lock):
            yield place.failed(
                "image.config",
                f"the config's {shown(name)} is not as locked",
                at,
                expected=_text(wanted.get(name)),
                observed=_text(found.get(name)),
            )
    unknown = [shown(name) for name in differ if on_base and name in found and not _is_certain(name, wanted, lock)]
    if unknown:
        message = f"whether these come from the base image, the lock alone does not say: {', '.join(unknown)}"
        yield place.noted("image.config", message[:1000], at)
    if not differ:
        yield place.noted("image.config", "the config says the same in other bytes", at)


def _fields(config: Mapping[str, Any], own: int) -> Fields:
    """A config as one level of names. `own` layers are the lock's, and so are the last steps of the history."""
    fields: Fields = {key: value for key, value in config.items() if key not in ("config", "rootfs", "history")}
    process = {key: value for key, value in (config.get("config") or {}).items() if value}
    fields |= {key: value for key, value in process.items() if key not in _BY_NAME}
    for name, _, value in (line.partition("=") for line in process.get("Env", ())):
        fields[f"Env {name}"] = value
    for kind in _BY_NAME[1:]:
        fields |= {f"{kind} {name}": value for name, value in process.get(kind, {}).items()}
    steps = config.get("history") or []
    fields["diff_ids"] = (config.get("rootfs") or {}).get("diff_ids")
    fields["history"] = steps[len(steps) - own :]
    if steps[: len(steps) - own]:
        fields["history of the base"] = steps[: len(steps) - own]
    return fields


def _is_certain(name: str, wanted: Fields, lock: Lock) -> bool:
    """Whether the lock alone says what a field of an image on a base image has to be."""
    container = lock.container
    match name:
        case "Entrypoint" | "Cmd":
            return bool(container.command) or container.entrypoint is not None
        case "StopSignal":
            return bool(container.stop_signal)
        case "Healthcheck":
            return container.healthcheck is not None
        case _:
            return name in _OURS or (name in wanted and name.partition(" ")[0] in _BY_NAME)


def _text(value: Any) -> str:
    if value is None:
        return "(absent)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return shown(text, _SHOWN)
