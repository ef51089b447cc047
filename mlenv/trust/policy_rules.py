"""What no single value of trust.toml can know: names without keys, keys under two names, rules that nothing reaches."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from mlenv.model.digest import Digest
from mlenv.model.moments import rfc3339
from mlenv.model.toml_file import Contradiction
from mlenv.model.toml_places import Path, dotted
from mlenv.trust.policy_file import EnvironmentRule, KeyTable


def covers(pattern: str, name: str) -> bool:
    """Whether a pattern of `*` and `?` matches all of a name.

    With another pattern as the name, whether everything that it matches is matched: its `*` may be taken by a `*` only,
    its `?` by `*` or `?`. That holds for all patterns but those in which `*` stands before `?`.
    """
    return _matcher(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> re.Pattern[str]:
    """The pattern as an expression that never tries twice: what stands between two stars is taken where it is first."""
    first, *rest = (re.escape(part).replace(r"\?", "[^*]") for part in pattern.split("*"))
    if not rest:
        return re.compile(first)
    *middle, last = rest
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + f".*{last}", re.DOTALL)


Keys = Mapping[str, KeyTable | None]
Rules = Sequence[EnvironmentRule | None]


def contradictions(keys: Keys, rules: Rules) -> Iterator[Contradiction]:
    """Everything in which a policy contradicts itself; None stands for a key or a rule that could not be read."""
    for name, key in keys.items():
        if key:
            yield from _key(name, key)
    yield from _same_keys(keys)
    for index, rule in enumerate(rules):
        if rule:
            yield from _rule(("environments", index), rule, keys)
    yield from _unreachable(rules)


def _key(name: str, key: KeyTable) -> Iterator[Contradiction]:
    path: Path = ("keys", name)
    if key.valid_from and key.valid_until and key.valid_from >= key.valid_until:
        yield Contradiction(
            (*path, "valid-until"),
            f"the key {name!r} is valid until {rfc3339(key.valid_until)}, which is not after its beginning",
            "write a time after valid-from, or remove one of them",
        )
    if key.revocation_reason and key.revoked is None:
        yield Contradiction(
            (*path, "revocation-reason"),
            f"the key {name!r} has a reason for being revoked and is not revoked",
            "add since when: revoked = 2026-06-01T00:00:00Z",
        )


def _same_keys(keys: Keys) -> Iterator[Contradiction]:
    first: dict[Digest, str] = {}
    for name, key in keys.items():
        other = first.setdefault(key.public_key.fingerprint, name) if key else name
        if other != name:
            yield Contradiction(
                ("keys", name, "public-key"),
                f"the keys {other!r} and {name!r} are one key: a threshold counts keys, not names",
                f"remove one of them, or give {name!r} a key of its own",
            )


def _rule(path: Path, rule: EnvironmentRule, keys: Keys) -> Iterator[Contradiction]:
    for role in ("approvers", "builders"):
        names: tuple[str, ...] = getattr(rule, role)
        for index, name in enumerate(names):
            place = (*path, role, index)
            if name not in keys:
                yield Contradiction(place, f"there is no key {name!r}", f"add [keys.{name}], or remove the name")
            if name in names[:index]:
                yield Contradiction(place, f"{name!r} stands there already", "remove one of them")
    for index, name in enumerate(rule.builders):
        if name in rule.approvers:
            yield Contradiction(
                (*path, "builders", index),
                f"{name!r} is an approver of {rule.name!r} too: whoever builds does not approve",
                "give the builder a key of its own",
            )
    if rule.threshold > len(set(rule.approvers)):
        yield Contradiction(
            (*path, "threshold"),
            f"{rule.threshold} of {len(set(rule.approvers))} approvers can never have signed",
            "name more approvers, or write a smaller threshold",
        )


def _unreachable(rules: Rules) -> Iterator[Contradiction]:
    for index, rule in enumerate(rules):
        for before, earlier in enumerate(rules[:index]):
            if rule and earlier and covers(earlier.name, rule.name):
                there = dotted(("environments", before, "name"))
                yield Contradiction(
                    ("environments", index, "name"),
                    f"the rule {rule.name!r} is never reached: {earlier.name!r} ({there}) matches all of its names",
                    "the first rule that matches decides: move this one above that one, or remove it",
                )
                break
