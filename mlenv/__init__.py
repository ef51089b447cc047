"""mlenv: an ML environment as a fact.

    manifest = mlenv.load("mlenv.toml")
    lock = mlenv.lock(manifest)
    image = mlenv.build(lock, output="oci:out", manifest=manifest)
    assert image.digest == lock.image_digest

Nothing here prints; every error is a subclass of `MlenvError`. Names are loaded when they are first used, so that
importing mlenv costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import_module("mlenv.build")  # the package of that name first: Python binds it once, and then the function has the name

from mlenv.api import build, load, load_lock, lock  # noqa: E402 -- as the line above says

if TYPE_CHECKING:
    from mlenv.build.build import Image as Image
    from mlenv.errors import DigestMismatchError as DigestMismatchError
    from mlenv.errors import LockFormatError as LockFormatError
    from mlenv.errors import ManifestError as ManifestError
    from mlenv.errors import MlenvError as MlenvError
    from mlenv.errors import Problem as Problem
    from mlenv.errors import RefusedError as RefusedError
    from mlenv.errors import ResolutionError as ResolutionError
    from mlenv.errors import SignatureError as SignatureError
    from mlenv.errors import StaleLockError as StaleLockError
    from mlenv.errors import UnavailableError as UnavailableError
    from mlenv.errors import UsageError as UsageError
    from mlenv.model.digest import Digest as Digest
    from mlenv.model.lock import Lock as Lock
    from mlenv.model.manifest import EnvironmentManifest as EnvironmentManifest
    from mlenv.model.platform import Platform as Platform
    from mlenv.model.progress import Progress as Progress

_WHERE = {
    "Digest": "mlenv.model.digest",
    "DigestMismatchError": "mlenv.errors",
    "EnvironmentManifest": "mlenv.model.manifest",
    "Image": "mlenv.build.build",
    "Lock": "mlenv.model.lock",
    "LockFormatError": "mlenv.errors",
    "ManifestError": "mlenv.errors",
    "MlenvError": "mlenv.errors",
    "Platform": "mlenv.model.platform",
    "Problem": "mlenv.errors",
    "Progress": "mlenv.model.progress",
    "RefusedError": "mlenv.errors",
    "ResolutionError": "mlenv.errors",
    "SignatureError": "mlenv.errors",
    "StaleLockError": "mlenv.errors",
    "UnavailableError": "mlenv.errors",
    "UsageError": "mlenv.errors",
}

__all__ = [
    "Digest",
    "DigestMismatchError",
    "EnvironmentManifest",
    "Image",
    "Lock",
    "LockFormatError",
    "ManifestError",
    "MlenvError",
    "Platform",
    "Problem",
    "Progress",
    "RefusedError",
    "ResolutionError",
    "SignatureError",
    "StaleLockError",
    "UnavailableError",
    "UsageError",
    "build",
    "load",
    "load_lock",
    "lock",
]


def __getattr__(name: str) -> Any:
    """PEP 562: load a public name from where it is defined."""
    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What `dir(mlenv)` shows."""
    return __all__
