"""Evidence from an OCI layout: a directory whose every file may have been written by anybody."""

from mlenv.model.progress import SILENT, Progress
from mlenv.oci.layout import Layout, blob_name
from mlenv.oci.observed import Observation
from mlenv.oci.reference import Target
from mlenv.verify.evidence.image import ImageEvidence, observe_all


def look_at_layout(target: Target, progress: Progress = SILENT) -> ImageEvidence:
    """What lies in `oci:DIR[:TAG]`. Raises as `look_at` does."""
    assert target.path is not None  # noqa: S101 -- for the type checker; Target.parse sets it
    return evidence_in(Layout(target.path), target, progress)


def evidence_in(layout: Layout, target: Target, progress: Progress = SILENT) -> ImageEvidence:
    """What lies in a layout of whatever form, under the target's tag."""
    observation = observe_all(layout, layout.find(target.tag), progress)
    return ImageEvidence(str(target), observation, others=_others(layout, observation))


def _others(layout: Layout, observation: Observation) -> tuple[str, ...]:
    named = {blob_name(blob.named.digest) for blob in observation.blobs() if blob.named is not None}
    return tuple(sorted(set(layout.blob_names()) - named))
