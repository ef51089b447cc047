"""Compares an image with a lock: everything that the lock names is there, byte for byte, and nothing else is.

image.index      the index of several platforms is the locked one
image.platforms  every image there is for a platform of the lock; which platforms of the lock are not there
image.manifest   a platform's manifest: digest and size
image.config     its config: the digest, and where that differs, one finding for each field that does
image.layer      one for each locked layer: digest and size of its blob, and the digest of its tar (diff_id)
image.format     what the image says of itself and does not hold, though the lock does not speak of it
image.bytes      the place could not hand the image out at all
image.extra      what no lock names: a layer or a manifest more is a failure, a blob that nothing names only a note

All digests and sizes that are compared were computed from bytes by whoever made the evidence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlenv.layers.image import index_bytes
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock, LockedPlatform
from mlenv.model.platform import Platform
from mlenv.model.report import Finding
from mlenv.oci.descriptor import ImagePlatform
from mlenv.oci.observed import ObservedBlob, ObservedImage
from mlenv.verify.checks.image_layers import check_layers
from mlenv.verify.checks.place import Place
from mlenv.verify.evidence.image import ImageEvidence

REBUILD = "build the image again from the lock, and find out who made this one"


def check_image(lock: Lock, evidence: ImageEvidence) -> list[Finding]:
    """Compare. Never empty: where nothing could be read there is a finding that fails."""
    place = Place(evidence.place, evidence.trusted)
    if evidence.unread is not None:
        return [place.unread("image.bytes", evidence.unread.message, hint=evidence.unread.hint)]
    found = _assign(lock, evidence.observation.images)
    findings = [*_index(lock, found, evidence, place), *_platforms(lock, found, place)]
    for one in lock.platforms:
        if one.platform in found:
            label = f"{one.platform}: " if len(lock.platforms) > 1 else ""
            findings += _image(one, found[one.platform], place.labelled(label))
    claimed = {id(image) for image in found.values()}
    findings += _extra_images([one for one in evidence.observation.images if id(one) not in claimed], place)
    if evidence.others:
        findings.append(_unnamed(evidence.others, place))
    return findings


def _assign(lock: Lock, images: Sequence[ObservedImage]) -> dict[Platform, ObservedImage]:
    """Which image is to be compared with which platform's: by digest, else by what it says, else as the only one."""
    found: dict[Platform, ObservedImage] = {}
    left = [image for image in images if image.is_image]
    for fits in (_has_digest, _says_platform):
        for one in lock.platforms:
            image = next((image for image in left if fits(image, one)), None)
            if one.platform not in found and image is not None:
                found[one.platform] = image
                left = [other for other in left if other is not image]
    if not found and len(left) == 1 and len(lock.platforms) == 1:
        found[lock.platforms[0].platform] = left[0]
    return found


def _has_digest(image: ObservedImage, platform: LockedPlatform) -> bool:
    if image.manifest is not None and image.manifest.named is not None:
        return image.manifest.named.digest == platform.image.manifest
    return image.config is not None and image.config.digest == platform.image.config


def _says_platform(image: ObservedImage, platform: LockedPlatform) -> bool:
    stated = image.manifest.named.platform if image.manifest and image.manifest.named else None
    if image.settings is not None:
        stated = ImagePlatform(os=image.settings.os, architecture=image.settings.architecture)
    return stated is not None and stated.runs(platform.platform)


def _index(
    lock: Lock, found: Mapping[Platform, ObservedImage], evidence: ImageEvidence, place: Place
) -> Iterator[Finding]:
    """The index that stands over the images, if there is one, and what is wrong below it."""
    for problem in evidence.observation.problems:
        yield place.wrong("image.format", problem)
    if not evidence.observation.indexes:
        return
    index, *more = evidence.observation.indexes
    for one in more:
        yield place.failed("image.extra", "an index inside the index, which no lock has", _named(one))
    there = [one for one in lock.platforms if one.platform in found and _has_digest(found[one.platform], one)]
    expected = lock.index
    if index.digest != expected and 1 < len(there) < len(
        lock.platforms
    ):  # `mlenv build --platform` makes such an index
        expected = Digest.of(
            index_bytes([(one.platform, one.image.manifest, one.image.manifest_size) for one in there])
        )
    if index.digest != expected:
        message = "the index is not the locked one" if expected else "an index, where the lock has a single image"
        yield place.failed(
            "image.index", message, _named(index), expected=expected, observed=index.digest, hint=REBUILD
        )
    elif index.problems:
        yield place.wrong("image.index", index.problems[0])
    else:
        yield place.passed("image.index", "the index is as locked", _named(index), expected)


def _platforms(lock: Lock, found: Mapping[Platform, ObservedImage], place: Place) -> Iterator[Finding]:
    missing = [one.platform for one in lock.platforms if one.platform not in found]
    locked = ", ".join(one.platform for one in lock.platforms)
    if not found:
        yield place.failed("image.platforms", "there is no image for a platform of the lock", expected=locked)
    elif missing:
        yield place.noted("image.platforms", f"locked, but not in this image: {', '.join(missing)}")


def _image(platform: LockedPlatform, image: ObservedImage, place: Place) -> Iterator[Finding]:
    yield _manifest(platform, image, place)
    yield from _config(platform, image, place)
    for problem in image.problems:
        yield place.wrong("image.format", problem)
    if image.document is None and image.manifest is not None:
        yield place.unread("image.layer", "the layers could not be looked for: the manifest can't be read")
    else:
        yield from check_layers(platform, image, place)


def _manifest(platform: LockedPlatform, image: ObservedImage, place: Place) -> Finding:
    locked, blob = platform.image, image.manifest
    if blob is None:
        return place.noted(
            "image.manifest", "the engine keeps no manifest; config and layers were compared, which it would name"
        )
    at = _named(blob)
    if blob.digest is None:
        return place.failed(
            "image.manifest", f"the manifest can't be read: {_first(blob)}", at, expected=locked.manifest
        )
    if blob.digest != locked.manifest:
        message = "the manifest is not the locked one"
        return place.failed("image.manifest", message, at, expected=locked.manifest, observed=blob.digest, hint=REBUILD)
    if blob.size != locked.manifest_size:
        message = "the manifest has another size than is locked"
        return place.failed("image.manifest", message, at, expected=locked.manifest_size, observed=blob.size)
    if blob.problems:
        return place.wrong("image.manifest", blob.problems[0])
    return place.passed("image.manifest", "the manifest is as locked", at, locked.manifest)


def _config(platform: LockedPlatform, image: ObservedImage, place: Place) -> Iterator[Finding]:
    expected, blob = platform.image.config, image.config
    if blob is None:
        yield place.unread(
            "image.config", "the config could not be looked for: the manifest can't be read", expected=expected
        )
    elif blob.digest is None:
        yield place.failed("image.config", f"the config can't be read: {_first(blob)}", _named(blob), expected=expected)
    elif blob.digest != expected:
        yield place.failed(
            "image.config", "the config is not the locked one", _named(blob), expected=expected, observed=blob.digest
        )
    elif blob.problems:
        yield place.wrong("image.config", blob.problems[0])
    else:
        yield place.passed("image.config", "the config is as locked", expected, expected)


def _extra_images(images: Iterable[ObservedImage], place: Place) -> Iterator[Finding]:
    for image in images:
        what = "an image" if image.is_image else "something that is no image"
        at = _named(image.manifest)
        if image.settings is not None:
            what += f" for {image.settings.os}/{image.settings.architecture}"
        yield place.failed("image.extra", f"{what}, which the lock does not name", at, observed=at)


def _unnamed(others: Sequence[str], place: Place) -> Finding:
    count = f"{len(others)} blob{'s' if len(others) > 1 else ''}"
    return place.noted("image.extra", f"beside it lie {count} that the image does not name: {', '.join(others[:3])}")


def _named(blob: ObservedBlob | None) -> Digest | None:
    return blob.named.digest if blob and blob.named else blob.digest if blob else None


def _first(blob: ObservedBlob) -> str:
    return blob.problems[0].message if blob.problems else "nothing could be read"
