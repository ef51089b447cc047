"""The whole of `mlenv build`: the image, checked against the lock, where the user wants it."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlenv.build.image import Places, chosen, image_name, write_image
from mlenv.build.outputs import check_output, write_output
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.platform import Platform
from mlenv.oci.layout_writer import LayoutWriter
from mlenv.oci.reference import Output, Transport
from mlenv.sources.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Image:
    """A built image. `digest` is that of its manifest, or of its index where it has several platforms."""

    name: str
    digest: Digest
    platforms: tuple[Platform, ...]
    output: str


def build_image(
    lock: Lock,
    output: Output,
    around: Surroundings,
    *,
    manifest: EnvironmentManifest | None = None,
    platforms: Sequence[Platform] = (),
) -> Image:
    """Build what was locked and nothing else.

    `manifest` says where wheels and Debian packages may be looked for; without it this machine's own configuration
    does. `platforms` are those of the lock to build, all where none is named. Raises DigestMismatchError where
    anything comes out other than locked; the output is then left as it was.
    """
    wanted = chosen(lock, platforms)
    check_output(output, platforms=len(wanted))
    places = Places(manifest, around)
    name = image_name(lock)
    if output.transport is Transport.OCI and output.path is not None:
        with LayoutWriter(output.path) as out:
            written = write_image(lock, wanted, out, places, name=name, tag=output.tag)
    else:
        with around.cache.temporary_folder() as staging:
            with LayoutWriter(staging / "layout", durable=False) as out:
                written = write_image(lock, wanted, out, places, name=name)
            write_output(out.path, written, name, output, around.progress)
    return Image(name, written.digest, tuple(one.platform for one in wanted), str(output))
