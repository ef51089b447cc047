"""mlenv: an ML environment as a fact.

    manifest = mlenv.load("mlenv.toml")
    lock = mlenv.lock(manifest)
    bundle = mlenv.sign(lock, key=mlenv.load_key("release.key", password), serial=1)
    image = mlenv.build(lock, output="oci:out", manifest=manifest)
    report = mlenv.verify(lock, "oci:out", trust=mlenv.load_trust("trust.toml"), bundles=[bundle.to_bytes()])
    report.raise_for_drift()

Nothing here prints; every error is a subclass of `MlenvError`. Names are loaded when they are first used, so that
importing mlenv costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The packages of these names first: Python binds each once, and then the function has the name.
import_module("mlenv.build")
import_module("mlenv.verify")

from mlenv.api import build, load, load_key, load_lock, load_trust, lock, sign, verify  # noqa: E402 -- as above

if TYPE_CHECKING:
    from mlenv.build.build import Image as Image
    from mlenv.errors import DigestMismatchError as DigestMismatchError
    from mlenv.errors import DriftError as DriftError
    from mlenv.errors import LockFormatError as LockFormatError
    from mlenv.errors import ManifestError as ManifestError
    from mlenv.errors import MlenvError as MlenvError
    from mlenv.errors import Problem as Problem
    from mlenv.errors import RefusedError as RefusedError
    from mlenv.errors import ResolutionError as ResolutionError
    from mlenv.errors import SignatureError as SignatureError
    from mlenv.errors import SigningKeyError as SigningKeyError
    from mlenv.errors import StaleLockError as StaleLockError
    from mlenv.errors import TrustPolicyError as TrustPolicyError
    from mlenv.errors import UnavailableError as UnavailableError
    from mlenv.errors import UnverifiableError as UnverifiableError
    from mlenv.errors import UsageError as UsageError
    from mlenv.model.digest import Digest as Digest
    from mlenv.model.lock import Lock as Lock
    from mlenv.model.manifest import EnvironmentManifest as EnvironmentManifest
    from mlenv.model.platform import Platform as Platform
    from mlenv.model.progress import Progress as Progress
    from mlenv.model.report import Finding as Finding
    from mlenv.model.report import Report as Report
    from mlenv.model.report import Status as Status
    from mlenv.trust.bundle import Bundle as Bundle
    from mlenv.trust.judgement import Mark as Mark
    from mlenv.trust.keys import PublicKey as PublicKey
    from mlenv.trust.keys import Signer as Signer
    from mlenv.trust.policy import TrustPolicy as TrustPolicy

_WHERE = {
    "Bundle": "mlenv.trust.bundle",
    "Digest": "mlenv.model.digest",
    "DigestMismatchError": "mlenv.errors",
    "DriftError": "mlenv.errors",
    "EnvironmentManifest": "mlenv.model.manifest",
    "Finding": "mlenv.model.report",
    "Image": "mlenv.build.build",
    "Lock": "mlenv.model.lock",
    "LockFormatError": "mlenv.errors",
    "ManifestError": "mlenv.errors",
    "Mark": "mlenv.trust.judgement",
    "MlenvError": "mlenv.errors",
    "Platform": "mlenv.model.platform",
    "Problem": "mlenv.errors",
    "Progress": "mlenv.model.progress",
    "PublicKey": "mlenv.trust.keys",
    "RefusedError": "mlenv.errors",
    "Report": "mlenv.model.report",
    "ResolutionError": "mlenv.errors",
    "SignatureError": "mlenv.errors",
    "Signer": "mlenv.trust.keys",
    "SigningKeyError": "mlenv.errors",
    "StaleLockError": "mlenv.errors",
    "Status": "mlenv.model.report",
    "TrustPolicy": "mlenv.trust.policy",
    "TrustPolicyError": "mlenv.errors",
    "UnavailableError": "mlenv.errors",
    "UnverifiableError": "mlenv.errors",
    "UsageError": "mlenv.errors",
}

__all__ = [
    "Bundle",
    "Digest",
    "DigestMismatchError",
    "DriftError",
    "EnvironmentManifest",
    "Finding",
    "Image",
    "Lock",
    "LockFormatError",
    "ManifestError",
    "Mark",
    "MlenvError",
    "Platform",
    "Problem",
    "Progress",
    "PublicKey",
    "RefusedError",
    "Report",
    "ResolutionError",
    "SignatureError",
    "Signer",
    "SigningKeyError",
    "StaleLockError",
    "Status",
    "TrustPolicy",
    "TrustPolicyError",
    "UnavailableError",
    "UnverifiableError",
    "UsageError",
    "build",
    "load",
    "load_key",
    "load_lock",
    "load_trust",
    "lock",
    "sign",
    "verify",
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
