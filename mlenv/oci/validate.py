"""Recomputes everything that an image says of itself: every digest, size and diff_id, and what must agree."""

from mlenv.errors import Problem
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.layout import Layout


def validate_layout(layout: Layout, image: Descriptor | None = None) -> list[Problem]:
    """All mismatches in an image of a layout, or in all its images; empty when everything agrees."""
    raise NotImplementedError
