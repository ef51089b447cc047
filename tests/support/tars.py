"""Tars that tests made themselves, unpacked."""

import tarfile
from pathlib import Path


def extract(tar: tarfile.TarFile, folder: Path) -> None:
    """All of it, as it is; before Python 3.11.4 there were no filters to say so by."""
    if hasattr(tarfile, "fully_trusted_filter"):
        tar.extraction_filter = tarfile.fully_trusted_filter
    tar.extractall(folder)
