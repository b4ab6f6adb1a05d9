"""``trireme validate``: would the API server and the operator take these resources?"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from trireme_operator.api import KIND, InvalidResource, parse
from trireme_operator.cli.documents import Document
from trireme_operator.cli.model import ModelConfigOption, known_config, read_model_config
from trireme_operator.cli.output import Exit, Format, note, out, placed, resources, write
from trireme_operator.offline import Finding, Rule, Verdict, judge
from trireme_operator.offline.verdict import defaulted
from trireme_operator.planning import ModelConfig, geometry, model_fit


def validate(
    files: Annotated[list[str], typer.Argument(help="Files of YAML or JSON; - is standard input.", metavar="FILE...")],
    old: Annotated[
        str | None,
        typer.Option(help="A file with the resources as they are now: judge the change, as the API server does."),
    ] = None,
    model_config: ModelConfigOption = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the verdicts are written.")] = Format.TABLE,
) -> None:
    """Check resources without a cluster, by the schema and the rules that the API server has, and by their models.

    Exit codes: 0 every resource is valid, 1 one would be refused, 2 a file can't be read or holds no resource.
    """
    config = read_model_config(model_config)
    documents = resources(files)
    before = {document.name: document.body for document in resources([old])} if old is not None else {}
    if old is not None:
        for document in documents:
            if document.name not in before:
                note(f"{document}: is not in {old}, so it is judged as a new resource")
    verdicts = []
    for document in documents:
        verdict = judge(document.body, old=before.get(document.name))
        verdicts.append((document, _with_model(document, verdict, config)))
    if output is Format.TABLE:
        _table(verdicts)
    else:
        write([_data(document, verdict) for document, verdict in verdicts], output)
    raise typer.Exit(Exit.VALID if all(verdict.valid for _, verdict in verdicts) else Exit.INVALID)


def _with_model(document: Document, verdict: Verdict, config: ModelConfig | None) -> Verdict:
    """The verdict with what the operator would say of the model, once it takes the rest."""
    if not verdict.valid:
        return verdict
    cluster = parse(placed(defaulted(document.body)))
    try:
        fit = model_fit(cluster, geometry(cluster), known_config(cluster, config, str(document)))
    except InvalidResource as refused:
        found = (Finding(each.path, Rule.ACCEPTED, each.message) for each in refused.violations)
        return Verdict(tuple(found))
    if fit.warning:
        note(f"{document}: {fit.warning}")
    return verdict


def _data(document: Document, verdict: Verdict) -> dict[str, Any]:
    return {
        "file": document.file,
        "name": document.name,
        "valid": verdict.valid,
        "complete": verdict.complete,
        "findings": [finding.as_json() for finding in verdict.findings],
    }


def _table(verdicts: list[tuple[Document, Verdict]]) -> None:
    for document, verdict in verdicts:
        if verdict.valid:
            out().print(f"{document}: valid", markup=False)
            continue
        table = Table("field", "rule", "value", "what to do", title=f"{document}: refused", title_justify="left")
        for column in table.columns:
            column.overflow = "fold"
        for finding in verdict.findings:
            rule = "condition Accepted" if finding.rule is Rule.ACCEPTED else str(finding.rule)
            table.add_row(*_plain(finding.path or KIND, rule, finding.value, finding.message))
        out().print(table)
        if not verdict.complete:
            note(f"{document}: more rules are checked when these are mended")


def _plain(*cells: str) -> list[Any]:
    return [Text(cell) for cell in cells]
