"""How an image was built: an in-toto Statement v1 with SLSA provenance v1 (slsa.dev/spec/v1.1/provenance).

It says who built what out of what, and when. It claims no SLSA level. The normative text is schema/provenance.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.moments import rfc3339
from mlenv.model.strict_json import shown
from mlenv.trust.fields import document, integer, moment, text
from mlenv.trust.statement import LOCK_SUBJECT, STATEMENT_TYPE, Subject

PROVENANCE_PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://mlenv.dev/build/v1"
BUILDER_ID: Final = "https://mlenv.dev/builder/v1"
_PARAMETERS: Final = {"environment", "version", "platforms"}


@dataclass(frozen=True, slots=True)
class Dependency:
    """A thing that went into a build (in-toto ResourceDescriptor, v1): what it is called here, and its digest.

    `uri` names it for everybody, where anything does. `annotations` say what neither name nor `uri` does.
    """

    name: str
    digest: Digest
    uri: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The resource descriptor; what is empty is left out."""
        value: dict[str, Any] = {"name": self.name, "digest": {"sha256": self.digest.hex}}
        if self.uri:
            value["uri"] = self.uri
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a builder says of one build.

    `subjects` are the images that came out, `dependencies` what went in: first the lock, then each platform's base.
    `environment`, `version` and `platforms` are what the builder was asked for; `recipe` is the version of the layer
    recipe. Times are in UTC with whole seconds, and the builder's own word. `tool` is the version of mlenv.
    """

    subjects: tuple[Subject, ...]
    environment: str
    version: str
    platforms: tuple[str, ...]
    recipe: int
    dependencies: tuple[Dependency, ...]
    started: datetime
    finished: datetime
    tool: str = ""

    @property
    def locks(self) -> frozenset[Digest]:
        """The digests that it gives for mlenv.lock: one, in what mlenv wrote."""
        return frozenset(one.digest for one in self.dependencies if one.name == LOCK_SUBJECT)

    def to_bytes(self) -> bytes:
        """The payload to sign: canonical JSON."""
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": one.name, "digest": {"sha256": one.digest.hex}} for one in self.subjects],
                "predicateType": PROVENANCE_PREDICATE,
                "predicate": {"buildDefinition": self._definition(), "runDetails": self._run()},
            }
        )

    def _definition(self) -> dict[str, Any]:
        asked = {"environment": self.environment, "version": self.version, "platforms": list(self.platforms)}
        return {
            "buildType": BUILD_TYPE,
            "externalParameters": asked,
            "internalParameters": {"recipe": self.recipe},
            "resolvedDependencies": [one.to_json() for one in self.dependencies],
        }

    def _run(self) -> dict[str, Any]:
        return {
            "builder": {"id": BUILDER_ID, "version": {"mlenv": self.tool}},
            "metadata": {"startedOn": rfc3339(self.started), "finishedOn": rfc3339(self.finished)},
        }

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read a payload whose signature was checked; ValueError says what it is instead.

        Fields that the specification does not name are passed over ("Parsing rules"); unknown external parameters are
        refused, because they would change what was built ("BuildDefinition").
        """
        value = _object(document(payload), "the statement")
        _is(value, "_type", STATEMENT_TYPE)
        _is(value, "predicateType", PROVENANCE_PREDICATE)
        predicate = _object(value.get("predicate"), "predicate")
        definition = _object(predicate.get("buildDefinition"), "buildDefinition")
        run = _object(predicate.get("runDetails"), "runDetails")
        builder = _object(run.get("builder"), "builder")
        metadata = _object(run.get("metadata"), "metadata")
        _is(definition, "buildType", BUILD_TYPE)
        _is(builder, "id", BUILDER_ID)
        asked = _object(definition.get("externalParameters"), "externalParameters")
        if set(asked) != _PARAMETERS:
            raise ValueError(f"externalParameters are not exactly {', '.join(sorted(_PARAMETERS))}")
        return cls(
            tuple(_subject(one) for one in _list(value, "subject")),
            _string(asked, "environment"),
            _string(asked, "version"),
            tuple(_string({"platforms": one}, "platforms") for one in _list(asked, "platforms")),
            integer(_object(definition.get("internalParameters"), "internalParameters").get("recipe"), "recipe"),
            tuple(_dependency(one) for one in _list(definition, "resolvedDependencies")),
            moment(metadata.get("startedOn"), "startedOn"),
            moment(metadata.get("finishedOn"), "finishedOn"),
            str(_object(builder.get("version") or {}, "builder.version").get("mlenv", "")),
        )


def _subject(value: Any) -> Subject:
    value = _object(value, "a subject")
    return Subject(_string(value, "name"), _digest(value))


def _dependency(value: Any) -> Dependency:
    value = _object(value, "a dependency")
    annotations = _object(value.get("annotations") or {}, "annotations")
    uri = _string(value, "uri") if value.get("uri") else ""
    return Dependency(
        _string(value, "name"), _digest(value), uri, {name: _string(annotations, name) for name in annotations}
    )


def _digest(value: dict[str, Any]) -> Digest:
    return Digest(_string(_object(value.get("digest"), "a digest"), "sha256"))


def _is(value: dict[str, Any], name: str, wanted: str) -> None:
    found = value.get(name)
    if found != wanted:
        raise ValueError(f"its {name} is {shown(found) if isinstance(found, str) else 'missing'}, not {wanted}")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")  # noqa: TRY004 -- ValueError is what parsers raise here
    return value


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list) or not found:
        raise ValueError(f"{name} is not a list that holds something")
    return found


def _string(value: dict[str, Any], name: str) -> str:
    found = text(value.get(name), name)
    if not found:
        raise ValueError(f"{name} is empty")
    return found
