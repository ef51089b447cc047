"""Provenance is accepted by cosign, and its fields are those of the in-toto and SLSA specifications."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.home import CHECKOUT
from support.refusals import Project
from support.signers import signer
from support.small_projects import make_project

from mlenv.trust.bundle import Bundle
from mlenv.trust.keys import KeyType

PAGE = CHECKOUT / "schema" / "provenance.md"

# in-toto attestation specification v1: spec/v1/resource_descriptor.md, digest_set.md, statement.md.
URI = {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:[^ ]+$"}
DIGEST_SET = {
    "type": "object",
    "minProperties": 1,
    "properties": {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
    "additionalProperties": False,
}
RESOURCE_DESCRIPTOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "uri": URI,
        "digest": DIGEST_SET,
        "content": {"type": "string"},
        "downloadLocation": URI,
        "mediaType": {"type": "string"},
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
    "anyOf": [{"required": [name]} for name in ("uri", "digest", "content")],
}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def exactly(needed: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these members and no others."""
    return {
        "type": "object",
        "required": list(needed),
        "properties": needed | optional,
        "additionalProperties": False,
    }


# SLSA provenance v1 (slsa.dev/spec/v1.1/provenance): what is required there for SLSA Build L1 is required here.
BUILDER = exactly(
    {"id": URI},
    version={"type": "object", "additionalProperties": {"type": "string"}},
    builderDependencies={"type": "array", "items": RESOURCE_DESCRIPTOR},
)
METADATA = exactly({}, invocationId={"type": "string"}, startedOn=TIME, finishedOn=TIME)
PREDICATE = exactly(
    {
        "buildDefinition": exactly(
            {"buildType": URI, "externalParameters": {"type": "object"}},
            internalParameters={"type": "object"},
            resolvedDependencies={"type": "array", "items": RESOURCE_DESCRIPTOR},
        ),
        "runDetails": exactly(
            {"builder": BUILDER},
            metadata=METADATA,
            byproducts={"type": "array", "items": RESOURCE_DESCRIPTOR},
        ),
    }
)
STATEMENT = exactly(
    {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {"allOf": [RESOURCE_DESCRIPTOR, {"required": ["digest"]}]},
        },
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": PREDICATE,
    }
)


@dataclass(frozen=True)
class Built:
    """A project whose image was built with provenance, one file for each kind of key."""

    project: Project
    keys: Path

    def bundle(self, kind: KeyType) -> Path:
        return self.project.root / f"{kind}.json"

    def public(self, kind: KeyType, name: str = "ci") -> Path:
        path = self.keys / f"{name}-{kind}.pub"
        path.write_text(signer(name, kind).public_key.pem)
        return path

    @property
    def manifest(self) -> Path:
        """The image's manifest, a blob of the layout."""
        return self.project.root / "out" / "blobs" / "sha256" / self.project.image_digest().removeprefix("sha256:")

    def statement(self) -> Any:
        return json.loads(Bundle.parse(self.bundle(KeyType.ECDSA_P256).read_bytes()).envelope.payload)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("provenance")
    project = make_project(folder)
    result = project.run("lock")
    assert result.status == 0, result.err
    for kind in KeyType:
        key = folder / f"{kind}.key"
        key.write_bytes(signer("ci", kind).private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)
        result = project.run("build", "-o", "oci:out", "--provenance", f"{kind}.json", "--key", str(key))
        assert result.status == 0, result.err
    return Built(project, folder)


@pytest.fixture
def cosign(peer: Callable[[str], Path]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`cosign(key, bundle, blob, type)` as schema/provenance.md has it."""
    program = peer("cosign")

    def run(key: Path, bundle: Path, blob: Path, kind: str = "slsaprovenance1") -> "subprocess.CompletedProcess[str]":
        options: list[str | Path] = ["--key", key, "--bundle", bundle, "--insecure-ignore-tlog", "--type", kind]
        command: list[str | Path] = [program, "verify-blob-attestation", *options, blob]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("kind", list(KeyType))
def test_cosign_accepts_it_for_the_image(
    kind: KeyType, built: Built, cosign: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = cosign(built.public(kind), built.bundle(kind), built.manifest)
    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stderr + done.stdout


@pytest.mark.parametrize("kind", list(KeyType))
def test_the_commands_of_the_normative_text(
    kind: KeyType, built: Built, tmp_path: Path, peer: Callable[[str], Path], require_tool: Callable[[str], Path]
) -> None:
    require_tool("jq")
    (script,) = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "image").symlink_to(built.project.root / "out")
    shutil.copy(built.bundle(kind), tmp_path / "provenance.json")
    path = os.pathsep.join([str(peer("cosign").parent), os.environ["PATH"]])
    for name, accepted in (("ci", True), ("mallory", False)):
        shutil.copy(built.public(kind, name), tmp_path / "ci.pub")
        done = subprocess.run(
            ["sh", "-eu"],
            input=script,
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == accepted, done.stderr


@pytest.mark.parametrize("kind", list(KeyType))
def test_cosign_refuses_what_it_is_not(
    kind: KeyType, built: Built, tmp_path: Path, cosign: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    public, bundle = built.public(kind), built.bundle(kind)
    edited = tmp_path / "manifest.json"
    edited.write_bytes(built.manifest.read_bytes() + b" ")
    value = json.loads(bundle.read_text())
    payload = value["dsseEnvelope"]["payload"]
    value["dsseEnvelope"]["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(value))
    for refused in (
        cosign(public, bundle, edited),
        cosign(public, forged, built.manifest),
        cosign(built.public(kind, "mallory"), bundle, built.manifest),
        cosign(public, bundle, built.manifest, "https://mlenv.dev/lock/v1"),
        cosign(public, bundle, built.project.lock),
    ):
        assert refused.returncode != 0, refused.stdout + refused.stderr


def test_its_fields_are_those_of_the_specifications(built: Built) -> None:
    jsonschema.Draft7Validator.check_schema(STATEMENT)
    statement = built.statement()
    jsonschema.Draft7Validator(STATEMENT).validate(statement)
    definition = statement["predicate"]["buildDefinition"]
    assert not definition["externalParameters"].keys() & definition["internalParameters"].keys()
    names = [one["name"] for one in statement["subject"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["buildDefinition", "runDetails"])
def test_the_rules_refuse_a_statement_without_a_required_field(built: Built, name: str) -> None:
    statement = built.statement()
    del statement["predicate"][name]
    assert not jsonschema.Draft7Validator(STATEMENT).is_valid(statement)
