"""From a finished image in a layout to where the user wants it: another layout, an archive, an engine."""

from collections.abc import Callable, Iterator
from pathlib import Path

from mlenv.build.archive import archive, contents, reachable
from mlenv.errors import UsageError
from mlenv.model.progress import SILENT, Progress
from mlenv.oci.descriptor import CONTAINERD_NAME, INDEX_TYPES, REF_NAME, Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.layout_writer import LayoutWriter
from mlenv.oci.reference import Output, Reference, Transport
from mlenv.sources.engine import load_image
from mlenv.sources.whole_file import write_whole


def write_output(layout: Path, image: Descriptor, name: str, output: Output, progress: Progress = SILENT) -> None:
    """Write one image, or an index of several platforms, to an output.

    `layout` is an OCI layout that holds it; `image` is the manifest's or the index's descriptor; `name` is what it is
    called (`sentiment:1.4.0`) where the output gives no name of its own. An output file appears whole or not at all.

    Raises UsageError where the output can't hold it, UnavailableError for a full disk or an engine that doesn't
    answer, DigestMismatchError where the bytes or what the engine made of them are not the image.
    """
    check_output(output, platforms=2 if image.media_type in INDEX_TYPES else 1)
    source = Layout(layout)
    match output.transport:
        case Transport.OCI:
            _to_layout(source, image, name, output, progress)
        case Transport.OCI_ARCHIVE:
            _to_archive(source, _named(image, name, output.tag), None, output, progress)
        case Transport.DOCKER_ARCHIVE:
            reference = output.reference or Reference.parse(name).with_default_tag()
            _to_archive(source, _named(image, str(reference), ""), reference, output, progress)
        case Transport.DOCKER_DAEMON:
            _to_engine(source, image, output, progress)


def check_output(output: Output, *, platforms: int) -> None:
    """Say before any work is done whether an output can hold an image of that many platforms; UsageError."""
    if output.transport is Transport.DOCKER:
        raise UsageError(
            f"an image can't be built into a registry: {output}",
            hint="build to oci:DIR, and copy it with `skopeo copy oci:DIR docker://…`",
        )
    if platforms > 1 and output.transport in (Transport.DOCKER_ARCHIVE, Transport.DOCKER_DAEMON):
        raise UsageError(
            f"{output.transport} holds one platform, and there are several",
            hint="choose one with --platform, or build to oci: or oci-archive:",
        )


def _to_layout(source: Layout, image: Descriptor, name: str, output: Output, progress: Progress) -> None:
    assert output.path is not None  # noqa: S101 -- for the type checker; Target.parse sets it
    blobs, _ = reachable(source, image)
    task = progress.task(str(output), sum(blobs.values()))
    try:
        with LayoutWriter(output.path) as out:
            present = out.present(blobs)
            for digest, size in blobs.items():
                if digest not in present:
                    with source.open_blob(digest) as file:
                        out.copy_blob(file, digest)
                task.advance(size)
            out.finish(image, name, tag=output.tag)
    finally:
        task.finish()


def _to_archive(
    source: Layout, image: Descriptor, docker: Reference | None, output: Output, progress: Progress
) -> None:
    assert output.path is not None  # noqa: S101 -- for the type checker; Target.parse sets it
    what = contents(source, image, docker=docker)
    task = progress.task(str(output), what.size())
    try:
        write_whole(output.path, _counted(archive(source, what), task.advance))
    finally:
        task.finish()


def _to_engine(source: Layout, image: Descriptor, output: Output, progress: Progress) -> None:
    reference = output.reference
    assert reference is not None  # noqa: S101 -- for the type checker; Target.parse sets it
    what = contents(source, _named(image, str(reference), ""), docker=reference)
    (manifest,) = reachable(source, image)[1]
    task = progress.task(str(output), what.size())
    try:
        chunks = _counted(archive(source, what), task.advance)
        load_image(chunks, reference, config=manifest.config.digest, manifest=image.digest)
    finally:
        task.finish()


def _named(image: Descriptor, name: str, tag: str) -> Descriptor:
    """The entry of index.json: containerd finds an image by the one annotation, everybody else by the other."""
    reference = Reference.parse(name).with_default_tag()
    annotations = {CONTAINERD_NAME: f"{reference.name}:{reference.tag}", REF_NAME: tag or reference.tag}
    return image.model_copy(update={"annotations": annotations})


def _counted(chunks: Iterator[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk
