"""Compares the layers of an image with those of a lock: which are there, in which order, and nothing between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from mlenv.model.digest import Digest
from mlenv.model.lock import LockedPlatform
from mlenv.model.report import Finding
from mlenv.oci.observed import ObservedImage, ObservedLayer
from mlenv.verify.checks.place import Place

_NAMES = 3
DAMAGED = "the file was damaged or changed: copy the whole image again, and find out who writes there"


@dataclass(frozen=True, slots=True)
class ExpectedLayer:
    """A layer as the lock has it. `what` is for people: `base layer`, `wheels torch, numpy`."""

    number: int
    what: str
    digest: Digest
    size: int
    diff_id: Digest

    @property
    def label(self) -> str:
        """`layer 3 (wheels torch)`, counted from 1, the lowest first."""
        return f"layer {self.number} ({self.what})"


def expected_layers(platform: LockedPlatform) -> list[ExpectedLayer]:
    """All layers of a platform's image, the lowest first."""
    base = [("base image", layer.digest, layer.size, layer.diff_id) for layer in platform.base.layers]
    own = [(_what(layer.kind, layer.contents), layer.digest, layer.size, layer.diff_id) for layer in platform.layers]
    return [ExpectedLayer(number, *one) for number, one in enumerate([*base, *own], 1)]


def check_layers(platform: LockedPlatform, image: ObservedImage, place: Place) -> list[Finding]:
    """One finding for each locked layer, in order, and one for each layer that the lock does not have."""
    expected, observed = expected_layers(platform), list(image.layers)
    by_tar = image.manifest is None  # then nothing names a compressed layer
    locked = [one.diff_id if by_tar else one.digest for one in expected]
    same, instead = _aligned(locked, [_name(one) for one in observed])
    left = {at: one for at, one in enumerate(observed) if at not in same.values()}
    findings = []
    for at, one in enumerate(expected):
        if at in same:
            findings.append(_compared(one, observed[same[at]], place))
            continue
        moved = next((number for number, layer in left.items() if _name(layer) == locked[at]), None)
        packed_anew = next((number for number, layer in left.items() if layer.diff_id == one.diff_id), None)
        number = next((n for n in (moved, packed_anew, instead.get(at)) if n in left), None)
        if number is None:
            findings.append(_missing(one, len(observed), place))
        elif number == moved:
            findings.append(_moved(one, number, place))
        else:
            findings.append(_compared(one, left[number], place))
        if number is not None:
            del left[number]
    steps = _steps(image)
    return findings + [_extra(at, layer, steps, place) for at, layer in left.items()]


def _aligned(locked: Sequence[Digest], observed: Sequence[Digest | None]) -> tuple[dict[int, int], dict[int, int]]:
    """Which locked layer is which of the image's, and which stands in another one's place, both by their numbers.

    The first is the longest common sequence: layers that changed places are not in it.
    """
    same: dict[int, int] = {}
    instead: dict[int, int] = {}
    for kind, a, a_end, b, b_end in SequenceMatcher(None, locked, observed, autojunk=False).get_opcodes():
        into = same if kind == "equal" else instead
        into.update(zip(range(a, a_end), range(b, b_end), strict=False))
    return same, instead


def _name(layer: ObservedLayer) -> Digest | None:
    """What a layer is called where it was found: by its blob, or where there is none by its tar."""
    return layer.named.digest if layer.named else layer.diff_id


def _compared(expected: ExpectedLayer, found: ObservedLayer, place: Place) -> Finding:
    """One layer, by all that was computed from its bytes."""
    at, has_blob = _name(found), found.named is not None
    if found.digest is None and found.diff_id is None:
        message = f"{expected.label}: {found.problems[0].message if found.problems else 'it could not be read'}"
        say = place.unread if found.unreadable else place.failed
        return say("image.layer", message, at, expected=expected.digest)
    if has_blob and found.digest != expected.digest:
        return _another(expected, found, place)
    if has_blob and found.size != expected.size:
        message = f"{expected.label} has another size than is locked"
        return place.failed("image.layer", message, at, expected=expected.size, observed=found.size)
    if found.problems:
        return place.failed("image.layer", f"{expected.label}: {found.problems[0].message}", at)
    if found.diff_id != expected.diff_id:
        message = f"{expected.label} has another tar (diff_id) than is locked"
        return place.failed("image.layer", message, at, expected=expected.diff_id, observed=found.diff_id)
    what = "is as locked" if has_blob else "has the locked tar"
    return place.passed("image.layer", f"{expected.label} {what}", at, at)


def _another(expected: ExpectedLayer, found: ObservedLayer, place: Place) -> Finding:
    """A layer whose blob is not the locked one: damaged, packed anew, or with another content."""
    hint = ""
    if _name(found) == expected.digest:
        what, hint = "has other bytes than its name says", DAMAGED
    else:
        what = "is packed anew, with the same content" if found.diff_id == expected.diff_id else "is another one"
    return place.failed(
        "image.layer",
        f"{expected.label} {what}",
        _name(found),
        expected=expected.digest,
        observed=found.digest,
        hint=hint,
    )


def _missing(expected: ExpectedLayer, layers: int, place: Place) -> Finding:
    message = f"{expected.label} is not in the image, which has {layers} layers"
    return place.failed("image.layer", message, expected=expected.digest)


def _moved(expected: ExpectedLayer, number: int, place: Place) -> Finding:
    message = f"{expected.label} stands at another place: it is layer {number + 1} of the image"
    return place.failed("image.layer", message, expected.digest, expected=expected.number, observed=number + 1)


def _extra(number: int, layer: ObservedLayer, steps: Sequence[str], place: Place) -> Finding:
    made_by = f", made by {steps[number][:200]!a}" if number < len(steps) and steps[number] else ""
    message = f"layer {number + 1} of the image is not in the lock{made_by}"
    return place.failed("image.extra", message, _name(layer), observed=_name(layer))


def _steps(image: ObservedImage) -> list[str]:
    """What the config says made each layer, where it says so for each."""
    steps = [one.created_by for one in image.settings.history if not one.empty_layer] if image.settings else []
    return steps if len(steps) == len(image.layers) else []


def _what(kind: str, contents: Sequence[str]) -> str:
    more = f" and {len(contents) - _NAMES} more" if len(contents) > _NAMES else ""
    return f"{kind} {', '.join(contents[:_NAMES])}{more}".strip()
