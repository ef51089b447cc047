"""Compares an image with a lock: everything that the lock names is there, byte for byte, and nothing else is.

image.index      the index of several platforms is the locked one
image.platforms  every image there is for a platform of the lock; which platforms of the lock are not there
image.manifest   a platform's manifest: digest and size
image.config     its config: the digest, and where that differs, one finding for each field that does
image.layer      one for each locked layer: digest and size of its blob, and the digest of its tar (diff_id)
image.format     what the image says of itself and does not hold, though the lock does not speak of it
image.extra      what no lock names: a layer or a manifest more is a failure, a blob that nothing names only a note
image.bytes      only where the place could not hand the image out at all

All digests and sizes that are compared were computed from bytes by whoever made the evidence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlenv.layers.image import index_bytes
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock, LockedPlatform
from mlenv.model.platform import Platform
from mlenv.model.report import Finding, Status, any_failed
from mlenv.oci.descriptor import ImagePlatform
from mlenv.oci.observed import ObservedBlob, ObservedImage
from mlenv.verify.checks.image_config import check_config_fields
from mlenv.verify.checks.image_layers import DAMAGED, check_layers
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
            findings += _image(lock, one, found[one.platform], place.labelled(label))
    claimed = {id(image) for image in found.values()}
    findings += _extra_images([one for one in evidence.observation.images if id(one) not in claimed], place)
    if evidence.others:
        findings.append(_unnamed(evidence.others, place))
    if not any_failed(findings):  # whatever is wrong has its finding by now; if one was forgotten it still fails
        findings += [place.wrong("image.format", one) for one in evidence.observation.all_problems()]
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
    if not found and len(left) == len(lock.platforms) == 1 and left[0].settings is None:
        found[lock.platforms[0].platform] = left[0]  # it says nothing of its platform
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
    expected = _expected_index(lock, found, index)
    if expected is None:
        message = "an index, where the lock has a single image"
        yield place.failed("image.index", message, _named(index), observed=index.digest)
    else:
        yield _document("index", index, expected, place)


def _expected_index(lock: Lock, found: Mapping[Platform, ObservedImage], index: ObservedBlob) -> Digest | None:
    """The locked index, or where only some of its platforms are there, the one that `mlenv build --platform` makes."""
    there = [one for one in lock.platforms if one.platform in found and _has_digest(found[one.platform], one)]
    if index.digest != lock.index and 1 < len(there) < len(lock.platforms):
        return Digest.of(index_bytes([(one.platform, one.image.manifest, one.image.manifest_size) for one in there]))
    return lock.index


def _platforms(lock: Lock, found: Mapping[Platform, ObservedImage], place: Place) -> Iterator[Finding]:
    missing = [one.platform for one in lock.platforms if one.platform not in found]
    locked = ", ".join(one.platform for one in lock.platforms)
    if not found:
        yield place.failed("image.platforms", "there is no image here for a platform of the lock", expected=locked)
    elif missing:
        yield place.noted("image.platforms", f"locked, but not in this image: {', '.join(missing)}")
    elif len(lock.platforms) > 1:
        yield place.passed("image.platforms", "there is an image for every locked platform", value=locked)


def _image(lock: Lock, platform: LockedPlatform, image: ObservedImage, place: Place) -> Iterator[Finding]:
    locked = platform.image
    if image.manifest is None:
        message = "the engine keeps no manifest: config and layers were compared, which is all that it would name"
        yield place.noted("image.manifest", message)
    else:
        yield _document("manifest", image.manifest, locked.manifest, place, size=locked.manifest_size)
    if image.config is None:
        message = "the config could not be looked for: the manifest can't be read"
        yield place.unread("image.config", message, expected=locked.config)
    else:
        finding = _document("config", image.config, locked.config, place)
        yield finding
        if finding.status is Status.FAIL:
            yield from check_config_fields(lock, platform, image, place)
    for problem in image.problems:
        yield place.wrong("image.format", problem)
    if image.manifest is not None and image.document is None:
        yield place.unread("image.layer", "the layers could not be looked for: the manifest can't be read")
    else:
        yield from check_layers(platform, image, place)


def _document(what: str, blob: ObservedBlob, locked: Digest, place: Place, size: int | None = None) -> Finding:
    """A manifest or a config, by what was computed from its bytes."""
    check, at = f"image.{what}", _named(blob)
    if blob.unreadable:
        return place.unread(check, f"the {what}: {_first(blob)}", at, expected=locked)
    if blob.digest is None:
        return place.failed(check, f"the {what}: {_first(blob)}", at, expected=locked)
    if blob.digest != locked:
        damaged = blob.named is not None and blob.named.digest == locked
        message = f"the {what} has other bytes than its name says" if damaged else f"the {what} is not the locked one"
        hint = DAMAGED if damaged else REBUILD
        return place.failed(check, message, at, expected=locked, observed=blob.digest, hint=hint)
    if size not in (None, blob.size):
        return place.failed(check, f"the {what} has another size than is locked", at, expected=size, observed=blob.size)
    if blob.problems:
        return place.wrong(check, blob.problems[0])
    return place.passed(check, f"the {what} is as locked", at, locked)


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
