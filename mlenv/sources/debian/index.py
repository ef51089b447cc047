"""The packages that the Packages files of some archives list, found by name and by what they provide.

A suite lists some 70,000 packages in 60 MB of text, of which a resolution looks at a few hundred: so only names are
found at once, and a stanza is parsed when somebody asks for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, cmp_to_key
from urllib.parse import quote

from mlenv.errors import RefusedError
from mlenv.layers.debian.relation import Group, Relation, compare_versions, parse_relations, valid_version
from mlenv.model.digest import Digest
from mlenv.sources.debian.hints import ANOTHER_MIRROR

_NAME = re.compile(rb"^Package:[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_PROVIDES = re.compile(rb"^Provides:(.*(?:\n[ \t].*)*)", re.MULTILINE)
_PROVIDED = re.compile(rb"[a-z0-9][a-z0-9+.-]*(?=[ \t]*(?:[:(,\s]|$))")
_FIELD = re.compile(r"^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3, "extra": 4}
_PLAIN = "/+~:@!$&'()*,;="  # what may stand in a URL's path as it is, beside letters, digits and -._
_SAFE_PATH = re.compile(r"(?!/)(?!.*(?:^|/)\.\.(?:/|$))[!-~]+")


@dataclass(frozen=True)
class Package:
    """One stanza. Equal where name, version, architecture and digest are."""

    name: str
    version: str
    architecture: str
    sha256: Digest
    size: int
    url: str
    depends: tuple[Group, ...] = ()
    conflicts: tuple[Relation, ...] = ()
    provides: tuple[Relation, ...] = ()
    rank: int = 0  # of its priority: required 0, optional 3

    @property
    def label(self) -> str:
        """For people: `libc6 2.41-12`."""
        return f"{self.name} {self.version}"


class PackageIndex:
    """All packages of one architecture over several archives. Of equal ones the first archive's is taken."""

    def __init__(self, texts: Sequence[tuple[str, bytes]], architecture: str) -> None:
        """`texts` holds pairs of an archive's URL and a Packages file of it, already checked by digest."""
        self._texts = texts
        self.architecture = architecture
        self._architectures = frozenset({architecture, "all"})
        self._versions: dict[str, tuple[Package, ...]] = {}
        self._places: dict[str, list[tuple[int, int]]] = {}
        for number, (_, text) in enumerate(texts):
            for match in _NAME.finditer(text):
                name = match[1].decode("ascii", "replace")
                self._places.setdefault(name, []).append((number, match.start()))

    def versions(self, name: str) -> tuple[Package, ...]:
        """Every version of a package, the newest first."""
        if name not in self._versions:
            found: dict[tuple[str, str], Package] = {}
            for number, position in self._places.get(name, ()):
                package = self._parse(number, position)
                if package.architecture in self._architectures:
                    found.setdefault((package.version, package.architecture), package)
            self._versions[name] = tuple(sorted(found.values(), key=cmp_to_key(_newest_first)))
        return self._versions[name]

    def providers(self, name: str) -> tuple[Package, ...]:
        """Packages of another name that provide `name`: by priority, then name, the newest version of each first."""
        found = [
            package
            for provider in sorted(self._providers.get(name, ()))
            for package in self.versions(provider)
            if provider != name and any(relation.name == name for relation in package.provides)
        ]
        return tuple(sorted(found, key=lambda package: (package.rank, package.name)))

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._places))

    @cached_property
    def _providers(self) -> dict[str, set[str]]:
        providers: dict[str, set[str]] = {}
        for _, text in self._texts:
            for match in _PROVIDES.finditer(text):
                start, end = _stanza(text, match.start())
                name = _NAME.search(text, start, end)
                if name is None:
                    continue
                for provided in _PROVIDED.findall(match[1]):
                    providers.setdefault(provided.decode("ascii"), set()).add(name[1].decode("ascii", "replace"))
        return providers

    def _parse(self, number: int, position: int) -> Package:
        url, text = self._texts[number]
        start, end = _stanza(text, position)
        try:
            fields = {key.lower(): value for key, value in _FIELD.findall(text[start:end].decode("utf-8"))}
            return _package(fields, url)
        except (KeyError, ValueError) as error:
            name = text[position : text.find(b"\n", position)].decode("utf-8", "replace")
            what = f"no field {error}" if isinstance(error, KeyError) else error
            message = f"the index is broken at {name!r}: {what}"
            raise RefusedError(message, where=url, hint=ANOTHER_MIRROR) from error


def _package(fields: dict[str, str], archive: str) -> Package:
    path = fields["filename"].strip()
    if not _SAFE_PATH.fullmatch(path):
        raise ValueError(f"not a path in the archive: {path[:80]!r}")
    groups = parse_relations(fields.get("pre-depends", "")) + parse_relations(fields.get("depends", ""))
    against = parse_relations(fields.get("conflicts", "")) + parse_relations(fields.get("breaks", ""))
    return Package(
        name=fields["package"].strip(),
        version=valid_version(fields["version"].strip()),
        architecture=fields["architecture"].strip(),
        sha256=Digest(fields["sha256"].strip()),
        size=int(fields["size"]),
        url=f"{archive}/{quote(path, safe=_PLAIN)}",
        depends=tuple(dict.fromkeys(groups)),
        conflicts=tuple(relation for group in against for relation in group),
        provides=tuple(relation for group in parse_relations(fields.get("provides", "")) for relation in group),
        rank=_PRIORITIES.get(fields.get("priority", "").strip(), len(_PRIORITIES)),
    )


def _stanza(text: bytes, position: int) -> tuple[int, int]:
    """The stanza around a position: stanzas are divided by empty lines."""
    start = text.rfind(b"\n\n", 0, position)
    end = text.find(b"\n\n", position)
    return (0 if start < 0 else start + 2), (len(text) if end < 0 else end)


def _newest_first(a: Package, b: Package) -> int:
    order = compare_versions(b.version, a.version)
    return order or (-1 if a.architecture < b.architecture else int(a.architecture > b.architecture))
