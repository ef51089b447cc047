"""What a base image is, as far as resolving packages for it needs to know."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class BaseFacts(BaseModel):
    """Facts read out of a base's layers and config, never taken from the machine that reads them.

    `libc_version` is major.minor ("2.41", "1.2"). `interpreter` is the absolute path of a real file in the base
    ("/usr/bin/python3.13"), `python` its full version ("3.13.5"). `distribution` is ID and VERSION_ID of os-release
    ("debian 13"). `cuda` holds the variables of NVIDIA's images that say what is inside (CUDA_VERSION,
    NV_CUDNN_VERSION, NCCL_VERSION, NVIDIA_REQUIRE_CUDA), empty for others.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),  # as mlenv.lock writes its keys
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    libc: Literal["glibc", "musl"]
    libc_version: str
    interpreter: str
    python: str
    distribution: str = ""
    cuda: dict[str, str] = {}

    @property
    def python_minor(self) -> str:
        """major.minor of the interpreter: "3.13"."""
        return ".".join(self.python.split(".")[:2])
