"""What `docker save` writes of an image in an engine's classic store: a config, and each layer as a plain tar.

manifest.json    [{"Config": path, "Layers": [path, …]}], the lowest layer first
There is no image manifest and no compressed layer: the config, which names the tar of every layer, is all that the
engine keeps of what was loaded. Newer engines write an OCI layout around it, whose manifest is made up for it.
"""

from dataclasses import dataclass

from mlenv.errors import MlenvError, Problem, RefusedError
from mlenv.model.digest import Digest
from mlenv.model.strict_json import LIMIT, parse_json
from mlenv.oci.archive_layout import ArchiveLayout
from mlenv.oci.image import ImageConfig
from mlenv.oci.measure import Advance, Each, measure_tar, one_by_one
from mlenv.oci.observed import Observation, ObservedBlob, ObservedImage, ObservedLayer

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class _Tar:
    """A layer: its path in the archive and its length there in bytes."""

    name: str
    size: int


def observe_docker_archive(archive: ArchiveLayout, each: Each = one_by_one) -> Observation:
    """The one image of such an archive, measured as `mlenv.oci.validate.observe` does.

    Raises RefusedError where the archive holds no such list, or more than one image.
    """
    config_name, layer_names = _named(archive)
    tars = [_Tar(name, archive.size(name)) for name in dict.fromkeys(layer_names)]

    def measure(tar: _Tar, advance: Advance) -> ObservedLayer:
        return measure_tar(archive, tar.name, advance)

    measured = dict(zip([tar.name for tar in tars], each(measure, tars), strict=True))
    layers = tuple(measured[name] for name in layer_names)
    image = _image(archive, config_name, layers)
    return Observation(images=(image,))


def _named(archive: ArchiveLayout) -> tuple[str, list[str]]:
    try:
        images = parse_json(_small(archive, MANIFEST_FILE))
        (image,) = images
        config, layers = image["Config"], list(image["Layers"])
    except (OSError, ValueError, KeyError, TypeError):
        config, layers = None, []
    if not all(isinstance(name, str) for name in (config, *layers)):
        raise RefusedError(f"{MANIFEST_FILE} does not name one image", where=str(archive.path))
    return config, layers


def _image(archive: ArchiveLayout, name: str, layers: tuple[ObservedLayer, ...]) -> ObservedImage:
    where = f"{archive.path}: {name}"
    try:
        data = _small(archive, name)
    except (OSError, MlenvError) as error:
        problem = Problem(f"the config can't be read: {error}", where)
        return ObservedImage(None, config=ObservedBlob(None, problems=(problem,)), layers=layers)
    blob = ObservedBlob(None, Digest.of(data), len(data))
    try:
        settings = ImageConfig.parse(data)
    except ValueError as error:
        problem = Problem(f"the config can't be read: {error}", where)
        blob = ObservedBlob(None, blob.digest, blob.size, (problem,))
        return ObservedImage(None, config=blob, config_data=data, layers=layers)
    found = tuple(layer.diff_id for layer in layers)
    differ = (
        [] if found == settings.diff_ids else [Problem("the config names other layers than the archive has", where)]
    )
    return ObservedImage(None, config=blob, config_data=data, settings=settings, layers=layers, problems=tuple(differ))


def _small(archive: ArchiveLayout, name: str) -> bytes:
    with archive.open_file(name) as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise RefusedError(f"it is larger than {LIMIT} bytes", where=f"{archive.path}: {name}")
    return data
