"""What a target is made of, compared with a lock."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mlenv.errors import UsageError
from mlenv.model.lock import Lock
from mlenv.model.progress import SILENT, Progress
from mlenv.model.report import Finding
from mlenv.oci.reference import Target, Transport

if TYPE_CHECKING:
    from mlenv.verify.evidence.image import ImageEvidence

_LOOKED_AT: Final = frozenset({Transport.OCI, Transport.OCI_ARCHIVE, Transport.DOCKER_DAEMON})


def looking_at(target: str, progress: Progress) -> Callable[[Lock], list[Finding]]:
    """A look at `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-daemon:NAME:TAG`; UsageError for anything else.

    The look itself raises UnavailableError where the target cannot be reached.
    """
    parsed = Target.parse(target)
    if parsed.transport not in _LOOKED_AT:
        raise _not_looked_at(parsed)

    def look(lock: Lock) -> list[Finding]:
        from mlenv.verify.checks.image import check_image  # noqa: PLC0415 -- only where an image is looked at

        return check_image(lock, look_at(parsed, progress))

    return look


def look_at(target: Target, progress: Progress = SILENT) -> "ImageEvidence":
    """Read the whole image that a target names, and hash it.

    Whatever is wrong with the image is part of the evidence. Raises UsageError where nothing or more than one thing
    has that name or the transport can't be looked at, RefusedError where its list of images can't be read,
    UnavailableError where the engine can't be reached or there is no such file.
    """
    match target.transport:
        case Transport.OCI:
            from mlenv.verify.evidence.layout import look_at_layout  # noqa: PLC0415 -- one of the three is needed

            return look_at_layout(target, progress)
        case Transport.OCI_ARCHIVE:
            from mlenv.verify.evidence.archive import look_at_archive  # noqa: PLC0415 -- as above

            return look_at_archive(target, progress)
        case Transport.DOCKER_DAEMON:
            from mlenv.verify.evidence.engine import look_at_engine  # noqa: PLC0415 -- as above

            return look_at_engine(target, progress)
        case _:
            raise _not_looked_at(target)


def _not_looked_at(target: Target) -> UsageError:
    hint = "name oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-daemon:NAME:TAG"
    if target.transport is Transport.DOCKER:
        hint = f"copy the image from its registry first: `skopeo copy {target} oci:copy`, then `mlenv verify oci:copy`"
    return UsageError(f"cannot verify {target}", hint=hint)
