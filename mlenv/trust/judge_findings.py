"""What is said of each part of a judgement: message, evidence, and what to do."""

from collections.abc import Iterator, Sequence
from typing import Final

from mlenv.model.report import Finding, Severity, Status, Trusted
from mlenv.trust.judgement import NamedBundle
from mlenv.trust.policy import EnvironmentRule, TrustPolicy
from mlenv.trust.statement import Subject
from mlenv.trust.tally import Tally, listed
from mlenv.trust.votes import NoVote, Vote

MOST_BUNDLES: Final = 64
_SHOWN = 8


def line_endings(lock: bytes, filename: str) -> Iterator[Finding]:
    """A lock is written with LF; CRLF is what a conversion made of it."""
    if b"\r\n" in lock:
        name = filename.replace("\\", "/").rpartition("/")[2]
        yield Finding(
            "lock.line-endings",
            Status.FAIL,
            "line-ending conversion changed the file: its lines end in CRLF, and those of a lock in LF",
            "LF",
            "CRLF",
            filename,
            hint=f"write `{name} -text` into .gitattributes, remove {name}, and run `git checkout {name}`",
        )


def number(bundles: Sequence[NamedBundle], filename: str) -> Iterator[Finding]:
    """No bundle at all, or more than anybody needs."""
    check, expected, found = "signature.present", f"1 to {MOST_BUNDLES} bundles", str(len(bundles))
    if not bundles:
        hint = "get its mlenv.lock.sigstore.json too, or sign it with `mlenv sign`"
        yield Finding(check, Status.FAIL, "the lock is not signed", expected, found, filename, hint=hint)
    elif len(bundles) > MOST_BUNDLES:
        message = f"{len(bundles)} bundles lie beside the lock, and mlenv looks at {MOST_BUNDLES} at most"
        yield Finding(check, Status.FAIL, message, expected, found, filename, hint="remove those of earlier locks")


def of_bundles(counted: Sequence[Vote], others: Sequence[NoVote], *, reached: bool) -> Iterator[Finding]:
    """One finding a bundle. What does not count is a failure where it is damaged, or where it was needed."""
    for one in counted:
        key = str(one.key.public_key.fingerprint)
        yield Finding("signature.bundle", Status.PASS, f"signed by {one.key.name!r}", key, key, one.bundle)
    for other in others:
        failed = other.damaged or not reached
        yield Finding(
            other.check,
            Status.FAIL if failed else Status.SKIPPED,
            other.message,
            other.expected,
            other.observed,
            other.bundle,
            severity=Severity.ERROR if failed else Severity.NOTE,
            hint=other.hint,
        )


def nobody(refused: Sequence[NoVote], filename: str) -> Iterator[Finding]:
    """No bundle votes for these bytes. What the rule would ask for is not known: nothing says that they are a lock."""
    if refused:
        message = "there is no signature of this lock that counts"
        hint = "see what is said of each bundle; `mlenv sign` signs the lock as it is now"
        yield Finding(
            "signature.threshold", Status.FAIL, message, "a signature", "none that counts", filename, hint=hint
        )


def no_rule(environment: str, policy: TrustPolicy, filename: str) -> Finding:
    """An environment that nobody may approve."""
    message = f"the policy has no rule for the environment {environment!r}"
    patterns = listed([repr(one.name) for one in policy.environments], "or")
    hint = f"if you are to say who approves it: `mlenv trust add NAME --key FILE --environment {environment}`"
    return Finding("trust.environment", Status.FAIL, message, patterns, environment, filename, Trusted.KEY, hint=hint)


def of_rule(environment: str, rule: EnvironmentRule, filename: str) -> Finding:
    """Which rule of the policy decided."""
    message = f"the rule {rule.name!r} of the policy is the one for the environment {environment!r}"
    return Finding("trust.environment", Status.PASS, message, rule.name, environment, filename, Trusted.KEY)


def threshold(counted: Tally, filename: str) -> Finding:
    """Whether enough approvers signed one statement; if not, who is missing. Why a bundle does not count, it says."""
    check, rule = "signature.threshold", counted.rule
    names = [key.name for key in counted.signers]
    expected, observed = f"{rule.threshold} of {listed(rule.approvers, 'and')}", listed(names, "and")
    if counted.reached:
        message = f"approved by {listed(names, 'and')}: {len(names)} of {rule.threshold} needed"
        return Finding(check, Status.PASS, message, expected, observed, filename)
    if len(counted.groups) > 1:
        serials = listed([f"serial {group[0].statement.serial}" for group in counted.groups], "and")
        many = len(counted.groups)
        message = f"the approvers signed {many} different statements ({serials}): none has {rule.threshold} signatures"
        hint = "let all sign one statement: `mlenv sign` signs the one that lies beside the lock"
    else:
        missing = [name for name in rule.approvers if name not in names]
        lacking = rule.threshold - len(names)
        message = f"{len(names)} of {rule.threshold} approvals are there; missing: {listed(missing, 'and')}"
        hint = f"have it signed by {lacking} more: {listed(missing, 'or')}, with `mlenv sign`"
    return Finding(check, Status.FAIL, message, expected, observed, filename, hint=hint)


def environments(counted: Tally, environment: str) -> Iterator[Finding]:
    """Statements of approvers that approve this lock's bytes for another environment than the lock's own."""
    for one in (group[0] for group in counted.groups):
        said = one.statement.environment
        if said != environment:
            yield Finding(
                "trust.environment",
                Status.FAIL,
                f"the statement approves the environment {said!r}, and the lock is that of {environment!r}",
                environment,
                said,
                one.bundle,
                Trusted.KEY,
                hint=f"do not use it; ask {one.key.name} what was signed there",
            )


def subjects(counted: Tally, locked: Sequence[Subject]) -> Iterator[Finding]:
    """Statements of approvers against what the lock says; they name all of it, each once, and nothing else."""
    for index, one in enumerate(group[0] for group in counted.groups):
        signed = one.statement.subjects
        wrong = _differences(signed, locked)
        expected, observed = _written(locked), _written(signed)
        if wrong:
            message = f"the statement contradicts the lock: {wrong}"
            hint = f"do not use it; ask {one.key.name} what was signed there, and have the lock signed again"
            yield Finding(
                "signature.subjects", Status.FAIL, message, expected, observed, one.bundle, Trusted.KEY, hint=hint
            )
        elif index == 0:
            message = f"the statement names the lock's bytes and all that it binds: {len(locked)} digests"
            yield Finding("signature.subjects", Status.PASS, message, expected, observed, one.bundle, Trusted.KEY)


def _differences(signed: Sequence[Subject], locked: Sequence[Subject]) -> str:
    there, here = {one.name: one.digest for one in signed}, {one.name: one.digest for one in locked}
    missing = [f"it does not name {name}" for name in here if name not in there]
    extra = [f"it names {name}, which the lock does not have" for name in there if name not in here]
    other = [
        f"{name} is {there[name]} in it and {here[name]} in the lock"
        for name in here
        if there.get(name, here[name]) != here[name]
    ]
    return "; ".join((other + missing + extra)[:_SHOWN])


def _written(named: Sequence[Subject]) -> str:
    return ", ".join(f"{one.name} {one.digest}" for one in sorted(named)[:_SHOWN])
