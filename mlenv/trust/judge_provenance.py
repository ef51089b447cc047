"""Whether a builder that the policy names says that it built these images out of this lock."""

from collections.abc import Collection, Iterator
from datetime import datetime

from mlenv.model.digest import Digest
from mlenv.model.moments import rfc3339
from mlenv.model.report import Finding, Status, Trusted
from mlenv.model.strict_json import shown
from mlenv.trust.bundle import Bundle
from mlenv.trust.freshness import TOLERANCE
from mlenv.trust.judgement import NamedBundle
from mlenv.trust.policy import TrustedKey, TrustPolicy
from mlenv.trust.slsa import Provenance
from mlenv.trust.statement import LOCK_SUBJECT

_REBUILD = "build again from this lock: `mlenv build --provenance FILE --key KEY`"


def judge_provenance(
    bundle: NamedBundle, policy: TrustPolicy, environment: str, lock: Digest, images: Collection[Digest], now: datetime
) -> list[Finding]:
    """Judge the provenance of `images`, which were looked at and are what the lock of that digest says.

    `environment` is the lock's, `now` in UTC. Every finding is of a check `provenance.…`; what is signed is read only
    after the signature was checked with a key of the policy.
    """
    try:
        parsed = Bundle.parse(bundle.data)
    except ValueError as error:
        message = f"it cannot be read: {shown(str(error), 200)}"
        hint = "name the file that `mlenv build --provenance` wrote"
        return [Finding("provenance.bundle", Status.FAIL, message, source=bundle.name, hint=hint)]
    key = policy.key(parsed.hint)
    signature = _signature(parsed, key, bundle.name)
    if key is None or signature.status is not Status.PASS:
        return [signature]
    try:
        said = Provenance.parse(parsed.envelope.payload)
    except ValueError as error:
        message = f"{key.name} signed something that is no provenance of an mlenv build: {shown(str(error), 200)}"
        return [signature, Finding("provenance.statement", Status.FAIL, message, source=bundle.name, hint=_REBUILD)]
    return [
        signature,
        _builder(key, policy, environment, bundle.name),
        _validity(key, said, now, bundle.name),
        _clock(said, now, bundle.name),
        _environment(said, environment, bundle.name),
        _lock(said, lock, bundle.name),
        *_images(said, images, bundle.name),
    ]


def _signature(bundle: Bundle, key: TrustedKey | None, source: str) -> Finding:
    def failed(message: str, hint: str) -> Finding:
        return Finding("provenance.signature", Status.FAIL, message, source=source, hint=hint)

    if key is None:
        return failed(
            "signed by a key that the policy does not have",
            "if it is your builder's key, add it: `mlenv trust add NAME --key FILE`",
        )
    if not bundle.envelope.is_signed_by(key.public_key):
        return failed(f"the signature is not one of the key {key.name}", "the file was changed: get it again")
    said = f"signed by the key {key.name}"
    return Finding("provenance.signature", Status.PASS, said, observed=str(key.public_key.fingerprint), source=source)


def _builder(key: TrustedKey, policy: TrustPolicy, environment: str, source: str) -> Finding:
    rule = policy.rule(environment)
    builders = ", ".join(rule.builders) if rule else ""
    if rule and key.name in rule.builders:
        said = f"{key.name} is a builder of {environment}"
        return Finding("provenance.builder", Status.PASS, said, builders, key.name, source)
    if rule is None:
        message = f"the policy has no rule for {environment}"
    elif not builders:
        message = f"the policy names no builder for {environment}"
    else:
        message = f"{key.name} is not a builder of {environment}"
    hint = f"if {key.name} may build it, name it among `builders` in the policy's rule"
    return Finding("provenance.builder", Status.FAIL, message, builders, key.name, source, hint=hint)


def _validity(key: TrustedKey, said: Provenance, now: datetime, source: str) -> Finding:
    refusal = key.refusal(said.finished, now)
    if not refusal:
        return Finding("provenance.key", Status.PASS, f"the key {key.name} is valid", source=source)
    hint = "build again with a key that is valid"
    return Finding("provenance.key", Status.FAIL, f"the key {key.name} {refusal}", source=source, hint=hint)


def _clock(said: Provenance, now: datetime, source: str) -> Finding:
    times = f"{rfc3339(said.started)} to {rfc3339(said.finished)}"
    if said.started > said.finished:
        message, hint = "the build ends before it began", _REBUILD
    elif said.finished > now + TOLERANCE:
        message, hint = "the build lies in the future", "set this machine's clock, or the builder's"
    else:
        return Finding("provenance.clock", Status.PASS, f"built {times}", "", times, source, Trusted.KEY)
    expected = f"not after {rfc3339(now)}"
    return Finding("provenance.clock", Status.FAIL, message, expected, times, source, Trusted.KEY, hint=hint)


def _environment(said: Provenance, environment: str, source: str) -> Finding:
    status = Status.PASS if said.environment == environment else Status.FAIL
    message = "it is about this environment" if status is Status.PASS else "it is about another environment"
    hint = "" if status is Status.PASS else _REBUILD
    return Finding(
        "provenance.environment", status, message, environment, said.environment, source, Trusted.KEY, hint=hint
    )


def _lock(said: Provenance, lock: Digest, source: str) -> Finding:
    """Exactly one lock, and this one: of two, nobody could say from which the image was built."""
    status = Status.PASS if said.locks == {lock} else Status.FAIL
    message = "built from this lock" if status is Status.PASS else f"not built from this {LOCK_SUBJECT} alone"
    observed = ", ".join(map(str, sorted(said.locks)))
    hint = "" if status is Status.PASS else _REBUILD
    return Finding("provenance.lock", status, message, str(lock), observed, source, Trusted.KEY, hint=hint)


def _images(said: Provenance, images: Collection[Digest], source: str) -> Iterator[Finding]:
    built = {one.digest for one in said.subjects}
    observed = ", ".join(f"{shown(one.name)} {one.digest}" for one in said.subjects[:8])
    if not images:
        message, hint = "there is no image to compare it with", "see why the image is not what the lock says"
        yield Finding("provenance.image", Status.UNVERIFIABLE, message, "", observed, source, Trusted.KEY, hint=hint)
    for image in sorted(set(images)):
        if image in built:
            said_so = "the builder says that it built this image"
            yield Finding("provenance.image", Status.PASS, said_so, str(image), str(image), source, Trusted.KEY)
        else:
            message = "the builder says nothing of this image"
            yield Finding(
                "provenance.image", Status.FAIL, message, str(image), observed, source, Trusted.KEY, hint=_REBUILD
            )
