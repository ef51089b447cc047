"""Which packages a request needs: resolvelib over Depends and Pre-Depends, the newest versions first.

Two kinds of node. A package: its candidates are its versions. A choice, made from alternatives and from virtual
packages: its candidates are the packages that would do, the earlier named and the real ones first, and each needs its
package. Recommends are left out, and so are Essential packages that nobody depends on. `Conflicts` and `Breaks` are
judged when all are chosen; of two that exclude each other one is barred, and the resolution is made again.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

from mlenv.errors import Problem, ResolutionError
from mlenv.layers.debian.relation import Group, Relation
from mlenv.sources.debian.index import Package, PackageIndex

_ROUNDS = 20_000
_BARRED = 32  # how often a conflict may send the resolution back


@dataclass(frozen=True, slots=True)
class _Need:
    """A requirement: one package, or (`options`) one of several."""

    key: str
    relation: Relation
    options: tuple[Relation, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Option:
    """A candidate of a choice."""

    key: str
    relation: Relation


_Candidate = Package | _Option


class _Options(Sequence[_Option]):
    """The candidates of a choice, in the order of preference at the time when it is made, not when it comes up."""

    def __init__(self, options: Sequence[_Option], is_missing: Callable[[_Option], bool]) -> None:
        self._options = options
        self._is_missing = is_missing

    def __len__(self) -> int:
        return len(self._options)

    def __getitem__(self, place: Any) -> Any:
        return self._ordered()[place]

    def __iter__(self) -> Iterator[_Option]:
        return iter(self._ordered())

    def _ordered(self) -> list[_Option]:
        return sorted(self._options, key=self._is_missing)


def resolve_closure(index: PackageIndex, wanted: Sequence[str], pins: Mapping[str, str]) -> tuple[Package, ...]:
    """The packages, sorted by name, that `wanted` (names or relations as in Depends) and their needs come to.

    Raises ResolutionError: unknown packages, all of them at once, or the chain that cannot be satisfied.
    """
    needs = [(Relation(name),) for name in wanted]
    _require_known(index, wanted)
    barred: set[Package] = set()
    for _ in range(_BARRED):
        provider = _Provider(index, pins, frozenset(barred))
        chosen = _solve(provider, needs)
        clash = _clash(chosen)
        if clash is None:
            return tuple(sorted(chosen.values(), key=lambda package: package.name))
        victim = _victim(clash, wanted)
        if victim is None:
            raise ResolutionError(
                f"Debian packages exclude each other: {clash.package.label} conflicts with {clash.relation}, "
                f"and {clash.other.label} is there",
                where="base.debian.packages",
                hint="leave one of them, or what needs it, out of the packages",
            )
        barred.add(victim)
    raise ResolutionError(
        "Debian packages exclude each other in too many ways", where="base.debian.packages", hint=_FEWER
    )


_FEWER = "name fewer packages, and see which one brings the conflict"


def _require_known(index: PackageIndex, wanted: Sequence[str]) -> None:
    problems = []
    for name in wanted:
        if index.versions(name) or index.providers(name):
            continue
        close = difflib.get_close_matches(name, _nearby(index, name), n=3, cutoff=0.7)
        hint = (
            f"did you mean {' or '.join(close)}?" if close else "look the name up on a Debian machine: apt-cache search"
        )
        problems.append(Problem(f"the suite has no Debian package {name!r}", where="base.debian.packages", hint=hint))
    if problems:
        raise ResolutionError(problems=problems)


def _nearby(index: PackageIndex, name: str) -> list[str]:
    """Names that could be meant: difflib over all 70,000 would take a second."""
    return [other for other in index.names() if other[:1] == name[:1] and abs(len(other) - len(name)) <= 3]


def _solve(provider: "_Provider", needs: Sequence[Group]) -> dict[str, Package]:
    resolver: Resolver[_Need, _Candidate, str] = Resolver(provider, provider.reporter)
    try:
        result = resolver.resolve([provider.need(group) for group in needs], max_rounds=_ROUNDS)
    except ResolutionImpossible as error:
        raise ResolutionError(
            f"Debian packages cannot be satisfied: {provider.explain(error.causes)}",
            where="base.debian.packages",
            hint="name other packages, or try again later: archives do not fit together while they are updated",
        ) from error
    except ResolutionTooDeep as error:
        raise ResolutionError("Debian packages: no answer found", where="base.debian.packages", hint=_FEWER) from error
    return {key: candidate for key, candidate in result.mapping.items() if isinstance(candidate, Package)}


class _State(BaseReporter[_Need, _Candidate, str]):
    """Remembers what is chosen so far, so that a choice can fall on what is there already."""

    def __init__(self) -> None:
        self.chosen: Mapping[str, _Candidate] = {}

    def ending_round(self, index: int, state: Any) -> None:
        del index
        self.chosen = state.mapping


class _Provider(AbstractProvider[_Need, _Candidate, str]):
    def __init__(self, index: PackageIndex, pins: Mapping[str, str], barred: frozenset[Package]) -> None:
        self.reporter = _State()
        self._index = index
        self._pins = pins
        self._barred = barred
        self._parents: dict[str, tuple[str, str]] = {}

    def need(self, group: Group) -> _Need:
        """A group as a requirement: of a package where only one would do, else a choice."""
        text = " | ".join(map(str, group))
        options = tuple(dict.fromkeys(option for relation in group for option in self._options(relation)))
        if len(options) > 1:
            return _Need(f"| {text}", options[0], options, text)
        if not options:
            return _Need(f"! {text}", group[0], text=text)  # a name that no package has: no candidates
        return _Need(options[0].name, options[0], text=text)

    def _options(self, relation: Relation) -> Iterator[Relation]:
        """The packages that satisfy a relation: the real one, then those that provide it."""
        if relation.qualifier not in {"", "any", "native", self._index.architecture}:
            return
        plain = Relation(relation.name, relation.operator, relation.version)
        if any(plain.holds(package.version) for package in self._index.versions(relation.name)):
            yield plain
        for package in self._index.providers(relation.name):
            if any(plain.holds_for_provided(provided) for provided in package.provides):
                yield Relation(package.name, "=", package.version)

    def identify(self, requirement_or_candidate: _Need | _Candidate) -> str:
        if isinstance(requirement_or_candidate, Package):
            return requirement_or_candidate.name
        return requirement_or_candidate.key

    def get_preference(self, identifier: str, **_: Any) -> tuple[bool, str]:  # type: ignore[override]
        # Packages before choices, so that a choice sees what is there; then by name: the order is the same everywhere.
        return identifier.startswith("|"), identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[_Need]],
        incompatibilities: Mapping[str, Iterator[_Candidate]],
    ) -> Any:
        needs = list(requirements[identifier])
        bad = list(incompatibilities[identifier])
        if needs[0].options:
            options = [_Option(identifier, option) for option in needs[0].options]
            options = [option for option in options if option not in bad]
            return _Options(options, self._is_missing)
        found = [
            package
            for package in self._index.versions(identifier)
            if package not in bad
            and package not in self._barred
            and all(need.relation.holds(package.version) for need in needs)
        ]
        return sorted(found, key=lambda package: package.version != self._pins.get(package.name))

    def _is_missing(self, option: _Option) -> bool:
        package = self.reporter.chosen.get(option.relation.name)
        return not (isinstance(package, Package) and option.relation.holds(package.version))

    def is_satisfied_by(self, requirement: _Need, candidate: _Candidate) -> bool:
        if isinstance(candidate, _Option):
            return candidate.relation in requirement.options
        return requirement.relation.holds(candidate.version)

    def get_dependencies(self, candidate: _Candidate) -> Iterable[_Need]:
        if isinstance(candidate, _Option):
            needs = [_Need(candidate.relation.name, candidate.relation, text=str(candidate.relation))]
        else:
            needs = [self.need(group) for group in candidate.depends]
        for need in needs:
            self._parents.setdefault(need.key, (self.identify(candidate), need.text))
        return needs

    def explain(self, causes: Iterable[Any]) -> str:
        """The chains from what was asked for to what cannot be had."""
        lines = []
        for cause in causes:
            need = cause.requirement
            have = [package.version for package in self._index.versions(need.relation.name)]
            there = f"the suite has {', '.join(have[:3])}" if have else "the suite does not have it"
            chain = self._chain(self.identify(cause.parent)) if cause.parent is not None else "the request"
            lines.append(f"{chain} needs {need.text or need.relation} ({there})")
        return "; ".join(dict.fromkeys(lines))

    def _chain(self, key: str) -> str:
        chain = [key]
        while (parent := self._parents.get(chain[-1])) is not None and parent[0] not in chain:
            chain.append(parent[0])
        return " <- ".join(name for name in chain if not name.startswith("|"))


@dataclass(frozen=True, slots=True)
class _Clash:
    """Two chosen packages of which the first conflicts with or breaks the second."""

    package: Package
    other: Package
    relation: Relation


def _clash(chosen: Mapping[str, Package]) -> _Clash | None:
    """The first pair, by name."""
    for name in sorted(chosen):
        package = chosen[name]
        for relation in package.conflicts:
            for other_name in sorted(chosen) if relation.name not in chosen else [relation.name]:
                other = chosen[other_name]
                # A package never conflicts with itself, nor with what it provides (policy 7.6.2).
                if other_name != name and _is_hit(relation, other):
                    return _Clash(package, other, relation)
    return None


def _is_hit(relation: Relation, other: Package) -> bool:
    if relation.name == other.name:
        return relation.holds(other.version)
    return any(relation.holds_for_provided(provided) for provided in other.provides)


def _victim(clash: _Clash, wanted: Sequence[str]) -> Package | None:
    """Which of the two to do without: one that was not asked for by name, rather the one that was conflicted with."""
    return next((package for package in (clash.other, clash.package) if package.name not in wanted), None)
