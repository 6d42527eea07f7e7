"""`python -m annotations projects ...`: which rows certain people answer, how often, and until when."""

from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

import typer

from annotations.choices import REASONS
from annotations.rows import Split
from tempo_core import command_line
from tempo_core.command_line import AsJson, show, table
from tempo_core.errors import InputError
from tempo_core.wording import plural

projects = command_line.new_app("projects", "Plan who answers which rows, how often, and until when.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="the project's name", show_default=False)]
Database = Annotated[
    str | None,
    typer.Option(metavar="URL", help="SQLAlchemy URL or SQLite file; default: cqvh.sqlite3 in TEMPO_HOME"),
]
Guidelines = Annotated[
    Path | None, typer.Option(metavar="FILE", help="what annotators read beside each row, as text")
]
EndAnswers = Annotated[
    int | None, typer.Option(metavar="N", help="end with so many answers; 0 takes the condition away")
]
EndDay = Annotated[
    str | None, typer.Option(metavar="DAY", help="the last day, as 2026-11-30; '' takes it away")
]


@projects.command("list")
def list_(database: Database = None, as_json: AsJson = False) -> None:
    """List every project and how far it is."""
    from annotations.commands import open_store

    with open_store(database) as store:
        reports = [store.project_progress(project.id) for project in store.projects()]
    lines: list[tuple[Any, ...]] = [("project", "state", "rows", "answers", "expected")]
    for report in reports:
        answers = f"{report.answers_given} of {report.answers_wanted}"
        lines.append(
            (report.project.name, report.project.state, report.rows, answers, report.expected_day or "–")
        )
    text = table(lines) if reports else "There are no projects."
    show({"projects": [report.to_dict() for report in reports]}, text, as_json=as_json, pretty=True)


@projects.command("show")
def show_(name: Name, database: Database = None, as_json: AsJson = False) -> None:
    """Show one project: what is done, by whom, how fast, and when it will be finished."""
    from annotations.commands import open_store

    with open_store(database) as store:
        report = store.project_progress(_find(store, name))
    project = report.project
    lines = [
        f"{project.name}: {project.state}" + (f". {report.ended}" if report.ended else ""),
        f"{report.complete} of {plural(report.rows, 'row')} complete, "
        f"{report.answers_given} of {plural(report.answers_wanted, 'answer')}",
    ]
    if report.without_clip:
        waiting = plural(report.without_clip, "row waits for its clip", "rows wait for their clip")
        lines.append(f"{waiting}: `videos plan` says which")
    if report.answers_per_day is not None:
        pace = f"{report.answers_per_day:.1f} answers a day"
        if report.rows_per_hour is not None:
            pace += f", {report.rows_per_hour:.0f} rows an hour of work"
        lines.append(f"{pace}; expected day: {report.expected_day or '–'}")
    people: list[tuple[Any, ...]] = [("person", "answers", "left", "rows an hour")]
    for member in report.people:
        person = member.annotator if member.takes_part else f"{member.annotator} (takes no part)"
        pace = "–" if member.rows_per_hour is None else f"{member.rows_per_hour:.0f}"
        people.append((person, member.answers, member.left, pace))
    show(report.to_dict(), "\n".join([*lines, table(people)]), as_json=as_json, pretty=True)


@projects.command()
def create(
    name: Name,
    dataset: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    split: Annotated[Split | None, typer.Option()] = None,
    reason: Annotated[str | None, typer.Option(metavar="REASON", help=f"one of {', '.join(REASONS)}")] = None,
    text: Annotated[str, typer.Option(help="part of the query, of the video's name or of the id")] = "",
    state: Annotated[
        Literal["any", "open", "reviewed", "several", "flagged"], typer.Option(help="open: without an answer")
    ] = "any",
    qids: Annotated[
        Path | None, typer.Option(metavar="FILE", help="only the rows with these ids, one a line")
    ] = None,
    most_rows: Annotated[
        int | None, typer.Option(metavar="N", help="at most so many, first in order")
    ] = None,
    guidelines: Guidelines = None,
    people: Annotated[str, typer.Option(metavar="NAMES", help="who takes part, separated by commas")] = "",
    answers: Annotated[int, typer.Option(metavar="N", help="of each row, by different people: 1 to 3")] = 1,
    second_share: Annotated[
        float, typer.Option(metavar="S", help="with one answer: the share of rows that get a second, 0 to 1")
    ] = 0.0,
    order: Annotated[
        Literal["suspicion", "gain", "import"], typer.Option(help="gain: expected change for a minute first")
    ] = "suspicion",
    blind_share: Annotated[
        float | None, typer.Option(metavar="S", help="of blind rows, in tenths; default: the store's")
    ] = None,
    planted_share: Annotated[
        float, typer.Option(metavar="S", help="of lent rows: decided ones with a wrong proposal, 0 to 0.3")
    ] = 0.0,
    end_answers: EndAnswers = None,
    end_day: EndDay = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count the rows and make nothing")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make a project from rows of the store.

    Whoever takes part gets its rows only, and nobody else gets them, until it is closed. Rows without a clip do not
    stand in its queue.
    """
    from annotations.commands import actor, open_store
    from annotations.projects import ProjectPlan
    from annotations.queue import BrowseFilter

    plan = ProjectPlan(
        name=name,
        rows=BrowseFilter(dataset=dataset, split=split, reason=reason, text=text, state=state),
        qids=() if qids is None else tuple(_read(qids, "--qids").split()),
        most_rows=most_rows,
        guidelines="" if guidelines is None else _read(guidelines, "--guidelines"),
        people=_names(people),
        answers_per_row=answers,
        second_share=second_share,
        order=order,
        blind_share=blind_share,
        planted_share=planted_share,
        end_answers=end_answers or None,
        end_day=end_day or None,
    )
    with open_store(database) as store:
        count = len(store.plan_rows(plan))
        answer: dict[str, Any] = {"name": name, "rows": count, "id": None}
        if not dry_run:
            answer["id"] = store.add_project(plan, op_id=str(uuid4()), actor=actor())
    lines = f"{name}: {plural(count, 'row')}" + (", nothing was made (--dry-run)." if dry_run else ".")
    if not plan.people:
        lines += " Nobody takes part yet: `projects change NAME --people ada,bo`."
    show(answer, lines, as_json=as_json, pretty=True)


@projects.command("change")
def change_(
    name: Name,
    guidelines: Guidelines = None,
    people: Annotated[
        str | None, typer.Option(metavar="NAMES", help="everybody who takes part from now on")
    ] = None,
    state: Annotated[
        Literal["open", "paused", "closed"] | None,
        typer.Option(help="paused: lends nothing; closed: its people and rows are free again"),
    ] = None,
    end_answers: EndAnswers = None,
    end_day: EndDay = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Change a project's guidelines, people, state or end; its rows stay, and so does every answer."""
    from annotations.commands import actor, open_store
    from annotations.projects import ProjectChange

    change = ProjectChange(
        guidelines=None if guidelines is None else _read(guidelines, "--guidelines"),
        people=None if people is None else _names(people),
        state=state,
        end_answers=end_answers,
        end_day=end_day,
    )
    with open_store(database) as store:
        project_id = _find(store, name)
        store.change_project(project_id, change, op_id=str(uuid4()), actor=actor())
        report = store.project_progress(project_id)
    people_now = ", ".join(member.annotator for member in report.people if member.takes_part) or "nobody"
    text = f"{name}: {report.project.state}; taking part: {people_now}."
    show(report.to_dict(), text, as_json=as_json, pretty=True)


def _find(store: Any, name: str) -> int:
    """The id of the project of this name. Raises InputError."""
    names = {project.name: project.id for project in store.projects()}
    if name not in names:
        listed = ", ".join(names) or "there are none"
        raise InputError(f"There is no project {name!r}; {listed}.")
    return int(names[name])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{option} {path} cannot be read ({error}).") from error
