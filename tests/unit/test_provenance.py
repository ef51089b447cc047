"""Provenance: what a builder says of a build, what is no provenance, and whose word counts."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from support.locks import FACTS, contents, digest, lock
from support.signers import NOW, KeyOfTests, policy, signed, signer, statement

from mlenv.errors import SigningKeyError
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock, LockedBase
from mlenv.model.platform import Platform
from mlenv.model.report import Finding, Status
from mlenv.signing.provenance import Build, provenance
from mlenv.trust.bundle import Bundle
from mlenv.trust.judge import judge_lock
from mlenv.trust.judge_provenance import judge_provenance
from mlenv.trust.judgement import NamedBundle
from mlenv.trust.keys import KeyType, PublicKey
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.slsa import BUILD_TYPE, BUILDER_ID, Dependency, Provenance
from mlenv.trust.statement import Subject
from mlenv.verify.provenance import check_provenance

AMD64, ARM64 = Platform.LINUX_AMD64, Platform.LINUX_ARM64
STARTED = NOW - timedelta(hours=1)
FINISHED = STARTED + timedelta(minutes=2)
LOCK = lock()
DATA = LOCK.to_toml().encode()
BOTH = lock(contents(), contents(ARM64))


def build(of: Lock = LOCK, *platforms: Platform, **changes: Any) -> Build:
    """A build of those platforms of a lock, all of them where none is named."""
    built = platforms or tuple(one.platform for one in of.platforms)
    fields: dict[str, Any] = {
        "digest": of.image_digest,
        "platforms": built,
        "started": STARTED,
        "finished": FINISHED,
        "tool": "1.0",
    }
    return Build(**(fields | changes))


def said(of: Lock = LOCK, **changes: Any) -> Provenance:
    return replace(provenance(of, of.to_toml().encode(), build(of)), **changes)


def document(of: Lock = LOCK) -> Any:
    return json.loads(said(of).to_bytes())


def test_the_statement_of_a_build() -> None:
    predicate = document()["predicate"]
    assert document() == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "image/linux/amd64", "digest": {"sha256": LOCK.image_digest.hex}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": predicate,
    }
    assert predicate["buildDefinition"] == {
        "buildType": "https://mlenv.dev/build/v1",
        "externalParameters": {"environment": "small", "version": "1.0", "platforms": ["linux/amd64"]},
        "internalParameters": {"recipe": 1},
        "resolvedDependencies": [
            {"name": "mlenv.lock", "digest": {"sha256": Digest.of(DATA).hex}},
            {
                "name": "base/linux/amd64",
                "digest": {"sha256": LOCK.platforms[0].layers[0].digest.hex},
                "annotations": {"suite": "trixie"},
            },
        ],
    }
    assert predicate["runDetails"] == {
        "builder": {"id": "https://mlenv.dev/builder/v1", "version": {"mlenv": "1.0"}},
        "metadata": {"startedOn": "2026-11-22T11:00:00Z", "finishedOn": "2026-11-22T11:02:00Z"},
    }


def test_no_level_is_claimed() -> None:
    assert b"slsa_level" not in said().to_bytes().lower()
    assert b"level" not in said().to_bytes().lower()


def test_an_index_is_a_subject_too() -> None:
    names = {one.name: one.digest for one in said(BOTH).subjects}
    assert names == {
        "image": BOTH.index,
        "image/linux/amd64": BOTH.platforms[0].image.manifest,
        "image/linux/arm64": BOTH.platforms[1].image.manifest,
    }


def test_of_several_platforms_only_what_was_built_is_a_subject() -> None:
    arm64 = BOTH.platforms[1].image.manifest
    made = provenance(BOTH, b"", build(BOTH, ARM64, digest=arm64))
    assert made.subjects == (Subject("image/linux/arm64", arm64),)
    assert made.platforms == ("linux/arm64",)
    assert [one.name for one in made.dependencies] == ["mlenv.lock", "base/linux/arm64"]


def test_times_are_whole_seconds_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    made = provenance(LOCK, DATA, build(started=datetime(2026, 1, 1, 1, 0, 0, 999999, east), finished=FINISHED))
    assert made.started == datetime(2025, 12, 31, 23, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        (
            "registry.example.com:5000/team/python:3.12@{}",
            "pkg:oci/python@{}?arch=amd64&repository_url=registry.example.com:5000/team/python&tag=3.12",
        ),
        ("python@{}", "pkg:oci/python@{}?arch=amd64&repository_url=docker.io/library/python"),
        ("oci:base@{}", ""),
        ("oci:../some where:tag@{}", ""),
    ],
)
def test_an_image_base_has_the_digest_of_its_manifest(reference: str, url: str) -> None:
    manifest = digest("base manifest")
    base = LockedBase(
        kind="image",
        reference=reference.format(digest("base index")),
        manifest=manifest,
        config=digest("config"),
        facts=FACTS,
    )
    platform = lock().platforms[0].model_copy(update={"base": base})
    made = provenance(LOCK.model_copy(update={"platforms": (platform,)}), DATA, build())
    assert made.dependencies[1] == Dependency("base/linux/amd64", manifest, url.format(manifest))
    assert Provenance.parse(made.to_bytes()) == made


def test_a_snapshot_of_debian_is_named() -> None:
    base = LockedBase(kind="debian", suite="bookworm", snapshot=datetime(2026, 3, 1, tzinfo=UTC), facts=FACTS)
    (found,) = provenance(made := lock(contents(base=base)), DATA, build(made)).dependencies[1:]
    assert found.annotations == {"suite": "bookworm", "snapshot": "2026-03-01T00:00:00Z"}


@pytest.mark.parametrize("of", [LOCK, BOTH], ids=["one", "two"])
def test_what_was_written_is_read_back(of: Lock) -> None:
    assert Provenance.parse(said(of).to_bytes()) == said(of)


def test_unknown_fields_are_passed_over() -> None:
    more = document()
    for place in (more, more["subject"][0], more["predicate"], more["predicate"]["buildDefinition"]):
        place["later"] = {"version": 2}
    assert Provenance.parse(json.dumps(more).encode()) == said()


def test_absent_and_empty_values_are_the_same() -> None:
    less = document()
    del less["predicate"]["runDetails"]["builder"]["version"]
    less["predicate"]["buildDefinition"]["resolvedDependencies"][0] |= {"uri": "", "annotations": None}
    assert Provenance.parse(json.dumps(less).encode()) == said(tool="")


def change(path: str, value: object) -> Callable[[Any], None]:
    """Put a value at a place of the document, or with `...` take it away."""

    def changed(made: Any) -> None:
        *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        for step in parents:
            made = made[step]
        if value is ...:
            del made[last]
        else:
            made[last] = value

    return changed


DEFINITION = "predicate/buildDefinition"
RUN = "predicate/runDetails"
WRONG = [
    ("_type", "https://in-toto.io/Statement/v0.1"),
    ("predicateType", "https://mlenv.dev/lock/v1"),
    ("predicateType", "https://slsa.dev/provenance/v0.2"),
    ("predicateType", ...),
    ("predicateType", ["https://slsa.dev/provenance/v1"]),
    ("subject", []),
    ("subject", {}),
    ("subject/0", "image"),
    ("subject/0/name", ...),
    ("subject/0/digest", ...),
    ("subject/0/digest", {"sha512": "0" * 128}),
    ("subject/0/digest/sha256", "0" * 63),
    ("subject/0/digest/sha256", "A" * 64),
    ("subject/0/digest/sha256", 0),
    ("predicate", ...),
    ("predicate", []),
    (DEFINITION, ...),
    (f"{DEFINITION}/buildType", "https://example.com/build"),
    (f"{DEFINITION}/externalParameters", ...),
    (f"{DEFINITION}/externalParameters/script", "curl"),
    (f"{DEFINITION}/externalParameters/environment", ...),
    (f"{DEFINITION}/externalParameters/environment", 1),
    (f"{DEFINITION}/externalParameters/environment", ""),
    (f"{DEFINITION}/externalParameters/platforms", "linux/amd64"),
    (f"{DEFINITION}/externalParameters/platforms", [1]),
    (f"{DEFINITION}/internalParameters", ...),
    (f"{DEFINITION}/internalParameters/recipe", True),
    (f"{DEFINITION}/internalParameters/recipe", "1"),
    (f"{DEFINITION}/resolvedDependencies", ...),
    (f"{DEFINITION}/resolvedDependencies/0", None),
    (f"{DEFINITION}/resolvedDependencies/0/digest", {}),
    (f"{DEFINITION}/resolvedDependencies/1/annotations", ["suite"]),
    (f"{DEFINITION}/resolvedDependencies/1/annotations/suite", 1),
    (f"{RUN}/builder", ...),
    (f"{RUN}/builder/id", "https://github.com/actions/runner"),
    (f"{RUN}/builder/version", "1"),
    (f"{RUN}/metadata", ...),
    (f"{RUN}/metadata/finishedOn", ...),
    (f"{RUN}/metadata/finishedOn", 1),
    (f"{RUN}/metadata/finishedOn", "2026-11-22T11:02:00+02:00"),
    (f"{RUN}/metadata/finishedOn", "2026-11-22T11:02:00.5Z"),
    (f"{RUN}/metadata/finishedOn", "2026-1-22T11:02:00Z"),
    (f"{RUN}/metadata/finishedOn", "2026-02-30T11:02:00Z"),
    (f"{RUN}/metadata/startedOn", ""),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_what_is_no_provenance_is_refused(path: str, value: object) -> None:
    made = document()
    change(path, value)(made)
    with pytest.raises(ValueError, match=r".") as caught:
        Provenance.parse(json.dumps(made).encode())
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"\xff", b'{"a":1,"a":2}', b'{"_type": NaN}'])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Provenance.parse(payload)


class _Broken:
    """Signs with a key that is not its own."""

    @property
    def public_key(self) -> PublicKey:
        return signer("ci").public_key

    def sign(self, data: bytes) -> bytes:
        return signer("mallory").sign(data)


@pytest.mark.parametrize("kind", KeyType)
def test_a_signature_is_checked_before_it_is_believed(kind: KeyType) -> None:
    bundle = Bundle.sign(said().to_bytes(), signer("ci", kind))
    assert bundle.envelope.is_signed_by(signer("ci", kind).public_key)
    with pytest.raises(SigningKeyError):
        Bundle.sign(said().to_bytes(), _Broken())


POLICY = policy("alice", builders=["ci"])
IMAGES = [LOCK.image_digest]


def judge(
    made: Provenance | None = None,
    *,
    by: KeyOfTests | None = None,
    trusted: TrustPolicy = POLICY,
    images: list[Digest] = IMAGES,
    lock_digest: Digest | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> list[Finding]:
    bundle = signed((made or said()).to_bytes(), by or signer("ci"), name="built.json", **changes)
    return judge_provenance(bundle, trusted, "small", lock_digest or Digest.of(DATA), images, now)


def failures(findings: list[Finding]) -> list[str]:
    assert all(one.judges_authority and one.source == "built.json" and one.message for one in findings)
    assert all(one.hint for one in findings if one.status is Status.FAIL)
    return [one.check for one in findings if one.status is not Status.PASS]


def test_a_builder_of_the_policy_is_believed() -> None:
    findings = judge()
    assert failures(findings) == []
    assert [one.check.partition(".")[2] for one in findings] == [
        "signature",
        "builder",
        "key",
        "clock",
        "environment",
        "lock",
        "image",
    ]


def test_every_image_that_was_looked_at_is_a_subject() -> None:
    images = [BOTH.image_digest, *(one.image.manifest for one in BOTH.platforms)]
    data = Digest.of(BOTH.to_toml().encode())
    assert failures(judge(said(BOTH), lock_digest=data, images=images)) == []
    assert failures(judge(said(BOTH), lock_digest=data, images=[*images, digest("x")])) == ["provenance.image"]


def test_without_an_image_there_is_nothing_to_believe() -> None:
    findings = judge(images=[])
    assert failures(findings) == ["provenance.image"]
    assert findings[-1].status is Status.UNVERIFIABLE


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"by": signer("mallory")}, ["signature"]),
        ({"by": signer("alice")}, ["builder"]),
        ({"payload_type": "application/json"}, ["bundle"]),
        ({"trusted": policy("alice")}, ["signature"]),
        ({"trusted": policy("alice", builders=["ci"], environment="other-*")}, ["builder"]),
        ({"trusted": policy("alice", keys={"ci": []})}, ["builder"]),
        ({"trusted": policy("alice", builders=["ci"], keys={"ci": ["revoked = 2026-11-22T11:30:00Z"]})}, ["key"]),
        ({"trusted": policy("alice", builders=["ci"], keys={"ci": ["valid-from = 2026-11-22T11:30:00Z"]})}, ["key"]),
        ({"trusted": policy("alice", builders=["ci"], keys={"ci": ["valid-until = 2026-11-22T11:30:00Z"]})}, ["key"]),
        ({"lock_digest": digest("another lock")}, ["lock"]),
        ({"images": [digest("another image")]}, ["image"]),
        ({"made": said(environment="other")}, ["environment"]),
        ({"made": said(finished=STARTED - timedelta(seconds=1))}, ["clock"]),
        ({"now": FINISHED - timedelta(minutes=5, seconds=1)}, ["clock"]),
        ({"made": said(dependencies=said().dependencies[1:])}, ["lock"]),
        ({"made": said(dependencies=(*said().dependencies, Dependency("mlenv.lock", digest("other"))))}, ["lock"]),
    ],
)
def test_what_is_not_believed(changes: dict[str, Any], failed: list[str]) -> None:
    assert failures(judge(**changes)) == [f"provenance.{name}" for name in failed]


AMD64_IMAGE, ARM64_IMAGE = (one.image for one in BOTH.platforms)


@pytest.mark.parametrize(
    ("looked", "about"),
    [
        ([("image.manifest", AMD64_IMAGE.manifest)], [AMD64_IMAGE.manifest]),
        ([("image.config", ARM64_IMAGE.config)], [ARM64_IMAGE.manifest]),
        (
            [("image.manifest", AMD64_IMAGE.manifest), ("image.config", ARM64_IMAGE.config)],
            [AMD64_IMAGE.manifest, ARM64_IMAGE.manifest],
        ),
        ([("image.layer", AMD64_IMAGE.manifest)], []),
        ([("image.manifest", AMD64_IMAGE.config)], []),
        ([], []),
    ],
)
def test_it_is_about_the_images_that_were_as_locked(looked: list[tuple[str, Digest]], about: list[Digest]) -> None:
    found = [Finding(check, Status.PASS, "as locked", str(one), str(one)) for check, one in looked]
    failed = [Finding(check, Status.FAIL, "other", str(digest("x")), str(digest("y"))) for check, _ in looked]
    data = BOTH.to_toml().encode()
    bundle = signed(said(BOTH).to_bytes(), signer("ci"), name="built.json")
    findings = check_provenance(bundle, BOTH, data, [*found, *failed], POLICY, NOW)
    images = [one for one in findings if one.check == "provenance.image"]
    assert [one.expected for one in images if one.status is Status.PASS] == sorted(map(str, about))
    assert bool(about) == (failures(findings) == [])


def test_a_superseded_key_keeps_what_it_signed_before() -> None:
    def lines(moment: str) -> dict[str, list[str]]:
        return {"ci": [f"revoked = {moment}", 'revocation-reason = "superseded"']}

    before = policy("alice", builders=["ci"], keys=lines("2026-11-22T11:30:00Z"))
    after = policy("alice", builders=["ci"], keys=lines("2026-11-22T11:01:00Z"))
    assert failures(judge(trusted=before)) == []
    assert failures(judge(trusted=after)) == ["provenance.key"]


def test_a_clock_may_be_a_little_off() -> None:
    assert failures(judge(now=FINISHED - timedelta(minutes=5))) == []


def test_a_signed_lock_is_no_provenance() -> None:
    bundle = signed(statement(LOCK).to_bytes(), signer("ci"), name="built.json")
    findings = judge_provenance(bundle, POLICY, "small", Digest.of(DATA), IMAGES, NOW)
    assert failures(findings) == ["provenance.statement"]
    assert "https://mlenv.dev/lock/v1" in findings[-1].message


def test_provenance_is_no_approval_of_a_lock() -> None:
    bundle = signed(said().to_bytes(), signer("alice"))
    assert judge_lock(DATA, [bundle], POLICY, NOW).approval is None


def test_what_is_no_bundle_is_refused() -> None:
    findings = judge_provenance(NamedBundle("built.json", b"{}"), POLICY, "small", Digest.of(DATA), IMAGES, NOW)
    assert failures(findings) == ["provenance.bundle"]


@pytest.mark.parametrize("what", ["payload", "sig"])
def test_a_flipped_bit_is_seen(what: str) -> None:
    value = json.loads(signed(said().to_bytes(), signer("ci", KeyType.ED25519)).data)
    trusted = TrustPolicy.of_keys([signer("ci", KeyType.ED25519).public_key])
    envelope = value["dsseEnvelope"]
    place = envelope if what == "payload" else envelope["signatures"][0]
    flipped = bytearray(b64decode(place[what]))
    flipped[20] ^= 1
    place[what] = b64encode(flipped).decode()
    bundle = NamedBundle("built.json", json.dumps(value).encode())
    findings = judge_provenance(bundle, trusted, "small", Digest.of(DATA), IMAGES, NOW)
    assert failures(findings) == ["provenance.signature"]


def test_what_is_pinned_is_ours() -> None:
    assert BUILD_TYPE.startswith("https://mlenv.dev/")
    assert BUILDER_ID.startswith("https://mlenv.dev/")
