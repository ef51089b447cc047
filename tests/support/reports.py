"""Reports made of nothing real, for tests of what is done with them."""

from typing import Any

from mlenv.model.report import Finding, Report, Status, Trusted

FACTS = {
    "environment": "fraud:1.2",
    "lock": "sha256:" + "a" * 64,
    "image": "sha256:" + "b" * 64,
    "serial": "7",
    "issued": "2026-11-01T00:00:00Z",
    "expires": "2027-11-01T00:00:00Z",
    "signers": f"alice (sha256:{'c' * 64}), bob (sha256:{'d' * 64})",
    "policy": "trust.toml",
}


def finding(check: str = "image.layer", status: Status = Status.PASS, **changes: Any) -> Finding:
    """A finding; `changes` are fields of it."""
    fields: dict[str, Any] = {"message": f"what {check} says"}
    return Finding(check, status, **(fields | changes))


def report(*findings: Finding, target: str = "oci:image", **facts: str) -> Report:
    """A report of these findings; `facts` take the place of those in FACTS."""
    return Report(target, FACTS | facts, findings)


PASSED = finding("image.manifest", expected="x", observed="x", source="oci:image")
FAILED = finding(
    "image.layer",
    Status.FAIL,
    message="layer 3 is not the locked one",
    expected="sha256:" + "1" * 64,
    observed="sha256:" + "2" * 64,
    source="oci:image layer 3",
    hint="build it again with `mlenv build`",
)
UNVERIFIABLE = finding(
    "image.history", Status.UNVERIFIABLE, message="the engine does not say", trusted=Trusted.ENGINE, source="engine"
)
SKIPPED = finding("signature.age", Status.SKIPPED, message="the policy sets no maximum age")
APPROVED = finding("signature.threshold", message="2 of 2 approvers have signed", trusted=Trusted.KEY)
UNSIGNED = finding("signature.present", Status.SKIPPED, message="not looked at, as you asked")
