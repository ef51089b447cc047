"""What a target is made of, compared with a lock."""

from collections.abc import Callable

from mlenv.model.lock import Lock
from mlenv.model.progress import Progress
from mlenv.model.report import Finding
from mlenv.oci.reference import Target


def looking_at(target: str, progress: Progress) -> Callable[[Lock], list[Finding]]:
    """A look at `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-daemon:NAME:TAG`; UsageError for anything else.

    The look itself raises UnavailableError where the target cannot be reached.
    """
    parsed = Target.parse(target)

    def look(lock: Lock) -> list[Finding]:
        from mlenv.verify.checks.image import check_image  # noqa: PLC0415 -- only where an image is looked at
        from mlenv.verify.evidence.image import look_at  # noqa: PLC0415 -- as above

        return check_image(lock, look_at(parsed, progress))

    return look
