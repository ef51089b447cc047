"""A report as an auditor reads it: the verdict, the facts, the findings, and nothing that acts on the terminal."""

import pytest
from support.reports import APPROVED, FACTS, FAILED, PASSED, SKIPPED, UNSIGNED, UNVERIFIABLE, finding, report

from mlenv.model.report import Finding, Report, Status, Trusted
from mlenv.report.text import render_text

ESCAPE = "\x1b"


def first_line(made: Report) -> str:
    return render_text(made).splitlines()[0]


def section(text: str, title: str) -> list[str]:
    """The lines below a title, up to the next empty line."""
    lines = text.splitlines()
    start = lines.index(title) + 1
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    return lines[start:end]


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (report(APPROVED, PASSED), "verified: oci:image is what mlenv.lock says, approved by alice and bob"),
        (report(APPROVED, target="lock"), "verified: mlenv.lock is approved by alice and bob"),
        (report(APPROVED, PASSED, signers="alice"), "verified: oci:image is what mlenv.lock says, approved by alice"),
        (report(APPROVED, PASSED, signers=""), "verified: oci:image is what mlenv.lock says, approved"),
        (report(UNSIGNED, PASSED), "SIGNATURE NOT CHECKED (--no-signature): oci:image is what mlenv.lock says"),
        (report(UNSIGNED, PASSED, target="lock"), "SIGNATURE NOT CHECKED (--no-signature): mlenv.lock can be read"),
        (report(PASSED), "SIGNATURE NOT CHECKED: oci:image is what mlenv.lock says"),
        (
            report(UNSIGNED, FAILED),
            (
                "SIGNATURE NOT CHECKED (--no-signature): FAILED: oci:image is not what mlenv.lock says"
                " (1 of 1 checks failed)"
            ),
        ),
        (report(APPROVED, PASSED, FAILED), "FAILED: oci:image is not what mlenv.lock says (1 of 3 checks failed)"),
        (
            report(finding("signature.threshold", Status.FAIL), FAILED, SKIPPED),
            (
                "FAILED: the approval of mlenv.lock does not hold, and oci:image is not what mlenv.lock says"
                " (2 of 2 checks failed)"
            ),
        ),
        (
            report(APPROVED, finding("provenance.builder", Status.FAIL)),
            "FAILED: the provenance does not hold (1 of 2 checks failed)",
        ),
        (
            report(APPROVED, finding("lock.format", Status.FAIL), target="lock"),
            "FAILED: mlenv.lock is not what it should be (1 of 2 checks failed)",
        ),
        (report(APPROVED, UNVERIFIABLE), "could not be verified: oci:image (1 of 2 checks had no evidence)"),
        (report(), "SIGNATURE NOT CHECKED: could not be verified: oci:image: no check was made"),
        (report(SKIPPED), "SIGNATURE NOT CHECKED: could not be verified: oci:image: no check was made"),
    ],
)
def test_the_first_line_is_the_verdict(made: Report, line: str) -> None:
    assert first_line(made) == line


@pytest.mark.parametrize("made", [report(UNSIGNED, PASSED), report(PASSED), report(UNSIGNED, FAILED), report()])
def test_what_nobody_signed_is_never_called_verified_or_approved(made: Report) -> None:
    assert first_line(made).startswith("SIGNATURE NOT CHECKED")
    assert "verified:" not in first_line(made).replace("could not be verified:", "")
    assert "approved" not in first_line(made)


def test_facts_follow_in_two_columns() -> None:
    lines = render_text(report(APPROVED)).split("\n\n")[1].splitlines()
    assert lines[0] == "  environment  fraud:1.2"
    assert lines[1] == f"  lock         {FACTS['lock']}"
    assert len({line.index(value) for line in lines for value in FACTS.values() if line.endswith(value)}) == 1
    start = lines[0].index("fraud")
    at = next(number for number, line in enumerate(lines) if line.startswith("  signers"))
    assert [line[start:] for line in lines[at : at + 2]] == FACTS["signers"].split(", ")
    assert not lines[at + 1][:start].strip()


def test_a_failure_says_everything_each_on_a_line() -> None:
    assert section(render_text(report(APPROVED, PASSED, FAILED)), "failed") == [
        "  image.layer  layer 3 is not the locked one",
        f"    expected  {FAILED.expected}",
        f"    observed  {FAILED.observed}",
        "    source    oci:image layer 3",
        "    hint      build it again with `mlenv build`",
    ]


def test_whom_one_believes_is_said() -> None:
    text = render_text(report(APPROVED, UNVERIFIABLE, finding("image.name", trusted=Trusted.ENGINE)))
    assert "    source  engine, on the word of the container engine" in section(text, "could not be verified")
    assert "  image.name           what image.name says (on the word of the container engine)" in section(
        text, "passed"
    )


def test_failures_come_first_and_passes_last() -> None:
    text = render_text(report(PASSED, SKIPPED, UNVERIFIABLE, FAILED, APPROVED))
    titles = [line for line in text.splitlines()[1:] if line and not line.startswith(" ")]
    assert titles == ["failed", "could not be verified", "skipped", "passed"]
    assert section(text, "skipped") == ["  signature.age  the policy sets no maximum age"]
    assert [line.split()[0] for line in section(text, "passed")] == ["image.manifest", "signature.threshold"]


def test_what_to_do_about_a_skipped_check_is_said() -> None:
    mark = finding("trust.mark", Status.SKIPPED, message="could not be kept", hint="set XDG_STATE_HOME")
    assert section(render_text(report(mark)), "skipped") == ["  trust.mark  could not be kept; set XDG_STATE_HOME"]


def test_a_skipped_bundle_is_named() -> None:
    bundle = finding("trust.key", Status.SKIPPED, message="it names another key", source="mlenv.lock.bob.sigstore.json")
    assert section(render_text(report(bundle)), "skipped") == [
        "  trust.key  mlenv.lock.bob.sigstore.json: it names another key"
    ]


def test_a_command_stays_on_one_line() -> None:
    for width in range(40, 120, 7):
        hint = "if you are to say who approves it: `mlenv trust add NAME --key FILE --environment small`, on one line"
        text = render_text(report(finding("trust.environment", Status.FAIL, hint=hint)), width=width)
        assert "`mlenv trust add NAME --key FILE --environment small`" in text


def test_many_passes_of_one_check_are_one_line() -> None:
    layers = [finding(message=f"layer {number}") for number in range(12)]
    text = render_text(report(APPROVED, *layers, PASSED))
    assert section(text, "passed") == [
        "  signature.threshold  2 of 2 approvers have signed",
        "  image.layer          12 layers agree",
        "  image.manifest       what image.manifest says",
    ]


def test_few_passes_of_one_check_are_told() -> None:
    text = render_text(report(*[finding(message=f"layer {number}") for number in range(3)]))
    assert len(section(text, "passed")) == 3


def test_passes_that_believe_different_things_are_not_one() -> None:
    layers = [finding(message=f"layer {number}") for number in range(4)]
    engine = [finding(message=f"layer {number}", trusted=Trusted.ENGINE) for number in range(5)]
    assert section(render_text(report(*layers, *engine)), "passed") == [
        "  image.layer  4 layers agree",
        "  image.layer  5 layers agree (on the word of the container engine)",
    ]


@pytest.mark.parametrize("width", [40, 72, 100, 200])
def test_lines_are_wrapped_but_digests_stay_whole(width: int) -> None:
    long = finding("image.config", Status.FAIL, message="word " * 60, expected=FAILED.expected, hint="do " * 60)
    text = render_text(report(APPROVED, long, finding(message="and " * 50), FAILED), width=width)
    _, *rest = text.splitlines()
    for line in rest:
        words = line.split()
        assert len(line) <= width or "sha256:" in line or len(words) <= 8, line
    assert FAILED.expected in text
    assert "word" * 2 not in text


def test_a_terminal_of_no_width_is_no_error() -> None:
    assert FAILED.message in " ".join(render_text(report(FAILED), width=1).split())


HOSTILE = [
    "\x1b[2J\x1b[1;1Hverified: everything is fine",
    "\x9b31m",
    "a\nverified: b",
    "a\rverified: b",
    "\u202edesrever",
    "\x07\x08\x7f\x00",
    "\u2028\u2029\x85",
    "\ud800",
]


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_from_outside_acts_on_the_terminal(hostile: str, *, color: bool) -> None:
    def everywhere(check: str, status: Status) -> Finding:
        return Finding(check + hostile, status, hostile, hostile, hostile, hostile, hint=hostile)

    findings = [everywhere(f"image.{status}", status) for status in Status]
    facts = {"environment": hostile, "signers": hostile, hostile: hostile}
    for made in (Report(hostile, facts, tuple(findings)), Report(hostile, facts, (APPROVED, findings[0]))):
        text = render_text(made, color=color)
        for code in ("1;31", "1;33", "32", "33", "0"):
            text = text.replace(f"{ESCAPE}[{code}m", "")
        assert all(character == "\n" or character.isprintable() for character in text)
        assert not any(line.startswith("verified: everything") or line == "verified: b" for line in text.splitlines())
        text.encode()


def test_a_value_without_end_has_one() -> None:
    made = report(finding("image.config", Status.FAIL, observed="x" * 1_000_000), target="y" * 1_000_000)
    assert len(render_text(made)) < 5_000


def test_colours_are_there_only_when_asked_for() -> None:
    made = report(APPROVED, FAILED, UNVERIFIABLE, UNSIGNED)
    assert ESCAPE not in render_text(made)
    colored = render_text(made, color=True)
    assert colored.startswith(ESCAPE)
    plain = colored
    for code in ("1;31", "1;33", "32", "33", "0"):
        plain = plain.replace(f"{ESCAPE}[{code}m", "")
    assert plain == render_text(made)
