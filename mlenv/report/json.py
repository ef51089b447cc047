"""A report for programs: the document of schema/mlenv.report.schema.json."""

import json

from mlenv.model.report import Report


def render_json(report: Report) -> str:
    """The report as JSON text, without a newline at the end.

    ASCII only, as `mlenv --json` writes everything: what comes from outside cannot act on a terminal.
    """
    return json.dumps(report.to_json(), indent=2)
