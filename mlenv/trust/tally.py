"""Votes are counted: by statement, by approver, by key. schema/trust.md, "Counting"."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlenv.model.moments import rfc3339
from mlenv.trust.policy import EnvironmentRule, TrustedKey
from mlenv.trust.statement import LockStatement
from mlenv.trust.votes import NoVote, Vote

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Tally:
    """The votes of the approvers of a rule.

    A group holds votes for one statement, by different keys, in the order of the rule's approvers. The first group is
    the one that is judged. `others` are votes that do not count for it.
    """

    rule: EnvironmentRule
    groups: tuple[tuple[Vote, ...], ...] = ()
    others: tuple[NoVote, ...] = ()

    @property
    def counted(self) -> tuple[Vote, ...]:
        """The votes for the statement that is judged; none where no approver voted."""
        return self.groups[0] if self.groups else ()

    @property
    def statement(self) -> LockStatement | None:
        """The statement that is judged."""
        return self.counted[0].statement if self.counted else None

    @property
    def signers(self) -> tuple[TrustedKey, ...]:
        """The keys that signed it."""
        return tuple(one.key for one in self.counted)

    @property
    def reached(self) -> bool:
        """Whether they are enough."""
        return len(self.counted) >= self.rule.threshold


def tally(votes: Iterable[Vote], rule: EnvironmentRule, at_serial: int | None = None) -> Tally:
    """Count votes. A threshold is reached within one statement only.

    Of several statements that reach it, one with the serial `at_serial` is judged, or else that with the highest
    serial, and the last issued of those. Where none reaches it, it is the one that most have signed.
    """
    groups: dict[bytes, dict[bytes, Vote]] = {}
    others: list[NoVote] = []
    for one in votes:
        if one.key.name not in rule.approvers:
            others.append(_no_approver(one, rule))
            continue
        first = groups.setdefault(one.payload, {}).setdefault(one.key.public_key.spki, one)
        if first is not one:
            others.append(_again(one, first))
    ranks = {one.key.name: rule.approvers.index(one.key.name) for group in groups.values() for one in group.values()}
    ordered = [tuple(sorted(group.values(), key=lambda one: ranks[one.key.name])) for group in groups.values()]
    ordered.sort(key=lambda group: _weight(group, rule.threshold, at_serial), reverse=True)
    others += [_another_statement(one) for group in ordered[1:] for one in group]
    return Tally(rule, tuple(ordered), tuple(others))


def _weight(group: tuple[Vote, ...], threshold: int, at_serial: int | None) -> tuple[int | str | bytes, ...]:
    said = group[0].statement
    reached = len(group) >= threshold
    first = int(said.serial == at_serial) if reached else len(group)
    return reached, first, said.serial, rfc3339(said.issued_at), group[0].payload


def _no_approver(one: Vote, rule: EnvironmentRule) -> NoVote:
    role = "a builder and not an approver" if one.key.name in rule.builders else "not an approver"
    approvers = listed(rule.approvers, "or")
    return NoVote(
        one.bundle,
        "trust.key",
        f"it is signed by {one.key.name!r}, who is {role} of the environments {rule.name!r}",
        f"have the lock signed by {approvers}",
        approvers,
        one.key.name,
    )


def _again(one: Vote, first: Vote) -> NoVote:
    return NoVote(
        one.bundle,
        "signature.bundle",
        f"the signature of {one.key.name!r} was counted in {first.bundle}: a key counts once",
        "remove one of the two files",
    )


def _another_statement(one: Vote) -> NoVote:
    said = f"serial {one.statement.serial}, issued on {rfc3339(one.statement.issued_at)}"
    return NoVote(
        one.bundle,
        "signature.statement",
        f"{one.key.name!r} signed another statement about this lock than the one that is judged: {said}",
        "let all sign one statement: `mlenv sign` signs the one that lies beside the lock",
    )


def listed(names: Sequence[str], word: str) -> str:
    """`alice, bob and carol` for people; long lists are cut, and nobody is `nobody`."""
    shown = [*names[:_SHOWN], *([f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else [])]
    if len(shown) < 2:
        return shown[0] if shown else "nobody"
    return f"{', '.join(shown[:-1])} {word} {shown[-1]}"
