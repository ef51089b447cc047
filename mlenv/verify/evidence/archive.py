"""Evidence from an OCI layout in a tar, which is read where it lies."""

from mlenv.errors import UnavailableError
from mlenv.model.progress import SILENT, Progress
from mlenv.oci.archive_layout import ArchiveLayout
from mlenv.oci.reference import Target
from mlenv.verify.evidence.image import ImageEvidence
from mlenv.verify.evidence.layout import evidence_in


def look_at_archive(target: Target, progress: Progress = SILENT) -> ImageEvidence:
    """What lies in `oci-archive:FILE[:TAG]`. Raises as `look_at` does."""
    assert target.path is not None  # noqa: S101 -- for the type checker; Target.parse sets it
    try:
        with ArchiveLayout.open(target.path) as archive:
            return evidence_in(archive, target, progress)
    except OSError as error:
        raise UnavailableError(
            f"cannot read it: {error.strerror}", where=str(target), hint="name the tar that the image was written to"
        ) from None
