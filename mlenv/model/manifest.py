"""EnvironmentManifest: what mlenv.toml says, as frozen values with every default filled in.

The text below a field is its description, here, in the JSON Schema, and so in editors. `manifest_toml` reads the
file; `manifest_rules` holds what no single value can know. Reading mlenv.toml is the only way to such a value.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlenv.model.digest import Digest
from mlenv.model.manifest_fields import (
    AbsolutePath,
    CudaVersion,
    CudnnVersion,
    DebianPackage,
    DistributionName,
    EnvName,
    EnvValue,
    Glob,
    GpuArchitecture,
    ImageText,
    LabelName,
    LimitName,
    Line,
    MigProfile,
    ModelUri,
    Name,
    Owner,
    Port,
    PythonMinor,
    RelativePath,
    RequirementText,
    Signal,
    Suite,
    TagName,
    TargetPath,
    Url,
    User,
)
from mlenv.model.manifest_quantities import LARGEST_INTEGER, Duration, Moment, Size
from mlenv.model.platform import Platform

DEFAULT_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
DEFAULT_PACKAGES = ("python3", "ca-certificates", "libgomp1", "libstdc++6", "tzdata")
GPU_SHARED_MEMORY = 2 * 2**30

Sequence = Field(strict=False)  # TOML has arrays; a frozen value holds tuples
Words = Annotated[tuple[EnvValue, ...], Sequence]


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class Table(BaseModel):
    """A table of mlenv.toml. Keys are written with hyphens, and unknown ones are refused."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=_kebab,
        allow_inf_nan=False,
    )


class Environment(Table):
    """What the environment is called and what it runs on."""

    name: Name
    """The image's name: lower-case letters and digits, with . _ - between them."""
    version: TagName
    """The environment's version, which becomes the image's tag."""
    description: Line | None = None
    """One sentence for people, kept in the image's labels."""
    platforms: Annotated[tuple[Annotated[Platform, Field(strict=False)], ...], Field(strict=False, min_length=1)] = (
        Platform.LINUX_AMD64,
    )
    """The platforms to build for. Any of them can be built on any machine."""
    epoch: Moment = DEFAULT_EPOCH
    """The time that the image says it was created at. The same inputs give the same image, so it is no clock's."""


class DebianBase(Table):
    """A base made from Debian packages, with no registry and no engine."""

    suite: Suite = "trixie"
    """The Debian suite, by its code name."""
    packages: Annotated[tuple[DebianPackage, ...], Field(strict=False, min_length=1)] = DEFAULT_PACKAGES
    """The packages; what they depend on comes with them."""
    mirror: Url | None = None
    """The archive to use instead of the machine's own."""
    security_mirror: Url | None = None
    """The archive of security updates to use instead of the machine's own."""
    keyring: RelativePath | None = None
    """A file with the OpenPGP certificates of a private archive. Debian's own otherwise."""
    snapshot: Moment | None = None
    """Take the archive as it was then. A Release file past its Valid-Until is accepted only with this."""


class Base(Table):
    """What the image stands on: an image, or Debian packages. Debian trixie with Python where nothing is said."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["image", "debian"]}})

    image: ImageText | None = None
    """An image by digest: registry/name:tag@sha256:… or oci:FOLDER@sha256:…. `mlenv pin` writes the digest in."""
    debian: DebianBase | None = None
    """A base made from Debian packages."""

    @model_validator(mode="before")
    @classmethod
    def _default(cls, table: Any) -> Any:
        return {"debian": {}} if table == {} else table

    @property
    def image_digest(self) -> Digest | None:
        """The digest that `image` names, if it names one."""
        _, found, digest = (self.image or "").partition("@")
        return Digest.parse(digest) if found else None


class PackageIndex(Table):
    """An index of Python packages that only the packages named here come from."""

    name: Name
    """What messages call it, and uv's variables for its credentials (UV_INDEX_NAME_USERNAME)."""
    url: Url
    """Its address, without credentials."""
    packages: Annotated[tuple[DistributionName, ...], Field(strict=False, min_length=1)]
    """The packages that come from this index, and from no other."""


class Python(Table):
    """The Python packages."""

    version: PythonMinor | None = None
    """The version that the base's interpreter must have, such as 3.12."""
    packages: Annotated[tuple[RequirementText, ...], Sequence] = ()
    """Requirements as pip writes them: "torch==2.9.1", "uvicorn[standard]>=0.30; python_version < '3.14'"."""
    requirements: Annotated[tuple[RelativePath, ...], Sequence] = ()
    """Files with more requirements: requirements.txt, pylock.toml or uv.lock."""
    exclude_newer: Moment | None = None
    """Do not see anything that was uploaded later than this, such as 2026-11-01T00:00:00Z."""
    indexes: Annotated[tuple[PackageIndex, ...], Sequence] = ()
    """Further indexes, each bound to packages by name. Everything else comes from uv's default."""
    find_links: Annotated[tuple[RelativePath, ...], Sequence] = ()
    """Folders with wheels of your own."""


class System(Table):
    """Debian packages on top of the base."""

    packages: Annotated[tuple[DebianPackage, ...], Sequence] = ()
    """Names of Debian packages; what they depend on comes with them."""


class Cuda(Table):
    """The CUDA that the packages must fit."""

    version: CudaVersion | None = None
    """The CUDA runtime's version, such as 12.8."""
    cudnn: CudnnVersion | None = None
    """The version of cuDNN, such as 9.10."""
    architectures: Annotated[tuple[GpuArchitecture, ...], Sequence] = ()
    """The GPUs that it must run on, such as sm_80 (A100) and sm_90 (H100)."""


class Model(Table):
    """A model, kept outside the image and mounted into the container."""

    name: Name
    """What the model is called, once per environment."""
    uri: ModelUri
    """Where it comes from: hf://organisation/model@revision, s3:// gs:// az:// https:// oci:// or file:FOLDER."""
    include: Annotated[tuple[Glob, ...], Sequence] = ()
    """Patterns of the files to take; all of them where nothing is said."""
    exclude: Annotated[tuple[Glob, ...], Sequence] = ()
    """Patterns of the files to leave out."""
    path: TargetPath
    """The folder in the container where it is mounted."""


class FileTree(Table):
    """Files of the project that go into the image."""

    source: RelativePath
    """A file or a folder of the project. A folder's content goes into `target`; a file becomes `target`."""
    target: TargetPath
    """The absolute path in the image."""
    exclude: Annotated[tuple[Glob, ...], Sequence] = ()
    """Patterns of what to leave out. .git, .venv, __pycache__, *.pyc and .DS_Store are always left out."""
    owner: Owner = "0:0"
    """The numeric owner and group in the image. Root's files cannot be changed by the container's user."""

    @property
    def uid(self) -> int:
        """The numeric user of `owner`."""
        return int(self.owner.partition(":")[0])

    @property
    def gid(self) -> int:
        """The numeric group of `owner`."""
        return int(self.owner.partition(":")[2])


class Healthcheck(Table):
    """How an engine finds out whether the container is well."""

    command: Annotated[tuple[EnvValue, ...], Field(strict=False, min_length=1)]
    """The command, run without a shell; status 0 is well."""
    interval: Duration | None = None
    """The time between two checks, such as 30s."""
    timeout: Duration | None = None
    """A check that takes longer has failed."""
    start_period: Duration | None = None
    """Failures do not count this long after the start."""
    retries: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many failures in a row make the container unhealthy."""


class Container(Table):
    """How a container of the image runs."""

    user: User = "10001:10001"
    """Who it runs as. It is root only where this says so."""
    workdir: AbsolutePath = "/"
    """The working directory."""
    entrypoint: Words | None = None
    """The program that `command` is given to as arguments."""
    command: Words = ()
    """What runs, as a list of words; there is no shell."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables."""
    ports: Annotated[tuple[Port, ...], Sequence] = ()
    """Ports that it listens on: "8000/tcp"."""
    volumes: Annotated[tuple[AbsolutePath, ...], Sequence] = ()
    """Folders that outlive the container."""
    secrets: Annotated[tuple[EnvName, ...], Sequence] = ()
    """Names of environment variables that it is given when it starts. Never values."""
    read_only: bool = True
    """Whether the root file system is read-only; /tmp and the volumes stay writable."""
    healthcheck: Healthcheck | None = None
    """How an engine finds out whether the container is well."""
    stop_signal: Signal | None = None
    """The signal that asks it to stop; SIGTERM where nothing is said."""
    labels: dict[LabelName, EnvValue] = {}
    """Further labels of the image."""


class Gpus(Table):
    """GPUs: whole ones, or a MIG slice of one."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["count", "mig"]}})

    count: Annotated[int, Field(ge=1, le=1024)] | None = None
    """How many GPUs; 1 where neither this nor `mig` is given."""
    mig: MigProfile | None = None
    """A MIG profile, such as 1g.5gb."""
    memory: Size | None = None
    """The memory that each must have, such as 40GiB."""

    @model_validator(mode="before")
    @classmethod
    def _one(cls, table: Any) -> Any:
        if isinstance(table, dict) and not {"count", "mig"} & table.keys():
            return {**table, "count": 1}
        return table


class Resources(Table):
    """What a container needs and may use."""

    cpus: Annotated[float, Field(gt=0, le=4096)] | None = None
    """Processor cores; fractions are allowed."""
    memory: Size | None = None
    """Main memory, such as 16GiB."""
    shm_size: Size | None = None
    """Shared memory (/dev/shm), such as 2GiB, which an environment with GPUs gets where nothing is said."""
    pids: Annotated[int, Field(ge=1, le=4194304)] | None = None
    """The largest number of processes and threads."""
    gpus: Gpus | None = None
    """GPUs: whole ones, or a MIG slice of one."""
    ulimits: dict[LimitName, Annotated[int, Field(ge=-1, le=LARGEST_INTEGER)]] = {}
    """Limits of a process by name, such as memlock; -1 is unlimited."""

    @model_validator(mode="before")
    @classmethod
    def _shared_memory(cls, table: Any) -> Any:
        if isinstance(table, dict) and "gpus" in table:
            return {"shm-size": GPU_SHARED_MEMORY, **table}
        return table


class EnvironmentManifest(Table):
    """mlenv.toml: what an ML environment is."""

    environment: Environment
    """What the environment is called and what it runs on."""
    base: Base = Base(debian=DebianBase())
    """What the image stands on: an image, or Debian packages. Debian trixie with Python where nothing is said."""
    python: Python = Python()
    """The Python packages."""
    system: System = System()
    """Debian packages on top of the base."""
    cuda: Cuda = Cuda()
    """The CUDA that the packages must fit."""
    models: Annotated[tuple[Model, ...], Sequence] = ()
    """Models, kept outside the image and mounted into the container."""
    files: Annotated[tuple[FileTree, ...], Sequence] = ()
    """Files of the project that go into the image."""
    container: Container = Container()
    """How a container of the image runs."""
    resources: Resources = Resources()
    """What a container needs and may use."""

    def canonical(self) -> bytes:
        """All values, defaults filled in, as canonical JSON (RFC 8785): what the manifest's digest is made of.

        Comments, white space, the order of keys and defaults that are written out change nothing. A value that is
        absent is left out.
        """
        return rfc8785.dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @property
    def digest(self) -> Digest:
        """The digest of `canonical()`."""
        return Digest.of(self.canonical())
