"""The tab of projects: who answers which rows, how often, until when, and how far everybody is. Role researcher."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import gradio as gr

from annotations.projects import MAX_PLANTED, PROJECT_STATES, ProjectChange, ProjectPlan, ProjectProgress
from annotations.queue import BrowseFilter
from annotations.store import Store
from annotations.suspicion import REASONS
from app.auth.users import Authenticator, Role, User
from app.ui.handlers import QUICK, Changes, handler
from app.ui.templates import macros, number, status_html, utc
from tempo_core.errors import InputError
from tempo_core.wording import plural

ALL = ""
"""The value of a choice that narrows nothing."""
ORDER_NAMES = [
    ("Most suspect first", "suspicion"),
    ("Expected gain a minute", "gain"),
    ("As imported", "import"),
]
BLIND_SHARES = [("As everywhere", ALL), *((f"{tenth * 10} %", str(tenth / 10)) for tenth in range(11))]
PEOPLE_HEADS = ("Person", "Answers", "Left", "Rows an hour", "Last answer")
WORKS = ("annotator", "adjudicator", "researcher", "administrator")
"""Roles that may annotate."""

html, shared_html = macros("data/projects.html"), macros("ui/macros.html")


class ProjectsView:
    """The tab's components; making one lays them out inside the current Blocks."""

    def __init__(self) -> None:
        form: dict[str, Any] = {}
        with gr.Tab("Projects", visible=False) as self.tab, gr.Row():
            with gr.Column(scale=2, min_width=320):
                form["name"] = gr.Textbox(label="New project", max_length=80, elem_id="project-name")
                with gr.Row():
                    form["dataset"] = gr.Dropdown([("All", ALL)], value=ALL, label="Dataset", min_width=130)
                    form["split"] = gr.Dropdown(
                        [("All", ALL), "train", "val", "test"], value=ALL, label="Split", min_width=90
                    )
                    reasons = [("Any", ALL), *((name.replace("-", " "), name) for name in REASONS)]
                    form["reason"] = gr.Dropdown(reasons, value=ALL, label="Suspicion", min_width=140)
                with gr.Row():
                    form["text"] = gr.Textbox(
                        label="Words", placeholder="of query, video or id", max_length=200
                    )
                    form["most_rows"] = gr.Number(
                        None, label="Rows at most (0: all)", precision=0, min_width=110
                    )
                form["qids"] = gr.Textbox(
                    label="Only these ids",
                    placeholder="separated by spaces or lines; empty: all",
                    lines=1,
                    max_lines=4,
                )
                form["people"] = gr.Dropdown(
                    [], multiselect=True, label="Who takes part", elem_id="project-people"
                )
                with gr.Row():
                    form["answers"] = gr.Radio([1, 2, 3], value=1, label="Answers a row", min_width=150)
                    form["second_share"] = gr.Slider(
                        0, 1, 0, step=0.05, label="With 1: share of rows with a second", min_width=190
                    )
                with gr.Row():
                    form["order"] = gr.Dropdown(ORDER_NAMES, value="suspicion", label="Order", min_width=170)
                    form["blind_share"] = gr.Dropdown(
                        BLIND_SHARES, value=ALL, label="Blind rows", min_width=120
                    )
                form["planted_share"] = gr.Slider(
                    0, MAX_PLANTED, 0, step=0.05, label="Decided rows lent again with a wrong proposal, share"
                )
                with gr.Row():
                    form["end_answers"] = gr.Number(
                        None, label="End after answers (0: none)", precision=0, min_width=130
                    )
                    form["end_day"] = gr.Textbox(label="Last day", placeholder="2026-11-30", min_width=130)
                form["guidelines"] = gr.Textbox(
                    label="Guidelines, shown beside each row", lines=5, max_lines=14, max_length=10_000
                )
                with gr.Row():
                    self.count = gr.Button("Count the rows", elem_id="project-count")
                    self.make = gr.Button("Make the project", variant="primary", elem_id="project-make")
                hint = "Its people get its rows only, and nobody else does, until it is closed."
                self.line = gr.HTML(status_html(hint), elem_id="project-line")
            with gr.Column(scale=3, min_width=320):
                self.chosen = gr.Dropdown([], label="Project", elem_id="project-chosen")
                self.progress = gr.HTML("", elem_id="project-progress")
                with gr.Column(visible=False) as self.edit:
                    with gr.Row():
                        self.state = gr.Radio(list(PROJECT_STATES), label="State", elem_id="project-state")
                        self.new_end_answers = gr.Number(
                            None, label="End after answers (0: none)", precision=0, min_width=130
                        )
                        self.new_end_day = gr.Textbox(
                            label="Last day", placeholder="2026-11-30", min_width=130
                        )
                    self.new_people = gr.Dropdown([], multiselect=True, label="Who takes part")
                    self.new_guidelines = gr.Textbox(
                        label="Guidelines", lines=5, max_lines=14, max_length=10_000
                    )
                    self.save = gr.Button("Save the changes", elem_id="project-save")
                self.edit_line = gr.HTML(status_html(), elem_id="project-edit-line")
        self.form = form
        self.edited = {
            "state": self.state,
            "end_answers": self.new_end_answers,
            "end_day": self.new_end_day,
            "people": self.new_people,
            "guidelines": self.new_guidelines,
        }


class ProjectsTab:
    """The tab's handlers."""

    def __init__(self, store: Store, authenticator: Authenticator) -> None:
        self.store, self.authenticator = store, authenticator
        self.view: ProjectsView

    def build(self) -> None:
        """Lay the tab out inside the current tabs, and connect its events."""
        view = self.view = ProjectsView()
        form = {*view.form.values()}
        outputs = [view.chosen, view.progress, view.edit, *view.edited.values()]
        lists = [view.form["dataset"], view.form["people"], view.edit_line]
        view.tab.select(self.arrive, view.chosen, [*outputs, *lists], **QUICK)
        view.count.click(self.count, form, [view.line], **QUICK)
        view.make.click(self.make, form, [view.line, view.form["name"], *outputs], **QUICK)
        view.chosen.input(
            self.choose, view.chosen, [*outputs, view.edit_line], trigger_mode="always_last", **QUICK
        )
        view.save.click(
            self.change, {view.chosen, *view.edited.values()}, [*outputs, view.edit_line], **QUICK
        )

    @handler(Role.RESEARCHER, line="edit_line")
    def arrive(self, chosen: int | None, user: User) -> Changes:
        """The tab was opened: the datasets, the accounts, and the newest project; role researcher."""
        view = self.view
        datasets = [name for name, archived in self.store.datasets().items() if not archived]
        return {
            view.form["dataset"]: gr.update(choices=[("All", ALL), *((name, name) for name in datasets)]),
            view.form["people"]: gr.update(choices=self._names()),
            **self._project_changes(chosen),
        }

    @handler(Role.RESEARCHER, line="line")
    def count(self, values: dict[Any, Any], user: User) -> Changes:
        """How many rows a project of this form would have; role researcher."""
        plan = self._plan(values, name="a count")
        rows = len(self.store.plan_rows(plan))
        answers = rows * plan.answers_per_row + round(rows * plan.second_share)
        line = f"{plural(rows, 'row')}, {plural(answers, 'answer')}."
        return {self.view.line: status_html(line)}

    @handler(Role.RESEARCHER, line="line")
    def make(self, values: dict[Any, Any], user: User) -> Changes:
        """Make the project of this form; role researcher."""
        plan = self._plan(values)
        project_id = self.store.add_project(plan, op_id=str(uuid4()), actor=user.id)
        line = f"{plan.name} is open." if plan.people else f"{plan.name} is open; nobody takes part yet."
        return {
            self.view.line: status_html(line),
            self.view.form["name"]: "",
            **self._project_changes(project_id),
        }

    @handler(Role.RESEARCHER, line="edit_line")
    def choose(self, chosen: int | None, user: User) -> Changes:
        """Another project was chosen; role researcher."""
        return {**self._project_changes(chosen), self.view.edit_line: status_html()}

    @handler(Role.RESEARCHER, line="edit_line")
    def change(self, values: dict[Any, Any], user: User) -> Changes:
        """Save what was changed in the chosen project; role researcher."""
        view = self.view
        edited = {name: values[component] for name, component in view.edited.items()}
        change = ProjectChange(
            guidelines=edited["guidelines"] or "",
            people=tuple(edited["people"] or ()),
            state=edited["state"],
            end_answers=_whole(edited["end_answers"]) or 0,
            end_day=(edited["end_day"] or "").strip(),
        )
        chosen = _whole(values[view.chosen])
        if chosen is None:
            raise InputError("Choose a project first.")
        self.store.change_project(chosen, change, op_id=str(uuid4()), actor=user.id)
        return {**self._project_changes(chosen), view.edit_line: status_html("Saved.")}

    def _names(self) -> list[str]:
        return [
            account.name
            for account in self.store.accounts()
            if account.role in WORKS and not account.disabled
        ]

    def _plan(self, values: Mapping[Any, Any], **changes: Any) -> ProjectPlan:
        """What the form says. Raises InputError."""
        texts = {name: values[component] for name, component in self.view.form.items()}
        row_filter = BrowseFilter(
            dataset=texts["dataset"] or None,
            split=texts["split"] or None,
            reason=texts["reason"] or None,
            text=(texts["text"] or "").strip(),
        )
        plan: dict[str, Any] = {
            "name": (texts["name"] or "").strip(),
            "rows": row_filter,
            "qids": tuple((texts["qids"] or "").replace(",", " ").split()),
            "most_rows": _whole(texts["most_rows"]) or None,
            "guidelines": (texts["guidelines"] or "").strip(),
            "people": tuple(texts["people"] or ()),
            "answers_per_row": texts["answers"],
            "second_share": texts["second_share"] if texts["answers"] == 1 else 0.0,
            "order": texts["order"],
            "blind_share": float(texts["blind_share"]) if texts["blind_share"] else None,
            "planted_share": texts["planted_share"],
            "end_answers": _whole(texts["end_answers"]) or None,
            "end_day": (texts["end_day"] or "").strip() or None,
        }
        return ProjectPlan(**{**plan, **changes})

    def _project_changes(self, chosen: Any) -> Changes:
        """One project with its progress, the newest where none is chosen, and the list of all."""
        view = self.view
        projects = self.store.projects()
        ids = [project.id for project in projects]
        choices = [(f"{project.name} ({project.state})", project.id) for project in reversed(projects)]
        if not projects:
            none = status_html("There are no projects: everybody works through all rows, most suspect first.")
            return {view.chosen: gr.update(choices=[], value=None), view.progress: none}
        project_id = chosen if chosen in ids else ids[-1]
        report = self.store.project_progress(project_id)
        project = report.project
        members = [member.annotator for member in report.people if member.takes_part]
        return {
            view.chosen: gr.update(choices=choices, value=project_id),
            view.progress: progress_html(report),
            view.edit: gr.update(visible=True),
            view.state: project.state,
            view.new_end_answers: project.end_answers,
            view.new_end_day: project.end_day or "",
            view.new_people: gr.update(choices=sorted({*self._names(), *members}), value=members),
            view.new_guidelines: project.guidelines,
        }


def progress_html(report: ProjectProgress) -> str:
    """How far a project is, and each of its people."""
    rows = [
        [
            member.annotator if member.takes_part else f"{member.annotator} (takes no part)",
            member.answers,
            member.left,
            number(member.rows_per_hour, 0),
            utc(member.last_at_ms),
        ]
        for member in report.people
    ]
    return str(html.progress(report)) + str(shared_html.table("People", PEOPLE_HEADS, rows))


def _whole(value: Any) -> int | None:
    """A number field's whole number; None for an empty one. Raises InputError."""
    if value is None:
        return None
    if value != int(value):
        raise InputError(f"{value} is no whole number; give one, or leave the field empty.")
    return int(value)
