"""axe-core, run in Chromium on every page in light and in dark: nothing serious, nothing critical.

axe-core comes from the npm registry into the environment (`scripts/setup.py axe`, part of `make test`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotations.rows import Row
from annotations.store import Store
from app.auth.users import Authenticator
from scripts.setup import axe_path
from tests.app.conftest import RunningApp
from tests.app.people import PASSWORD, People

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
    pytest.mark.skipif(
        not axe_path().exists(), reason="needs axe-core, which `make test` fetches from the npm registry"
    ),
]

# Gradio's upload button shows other words than the ones it is named by; it is not ours to mend.
NOT_OURS = "button.upload-container"
RUN_AXE = """async (notOurs) => {
  const ours = (node) => !node.element?.matches(notOurs);
  const found = await axe.run(document, { resultTypes: ['violations'], elementRef: true });
  const wrong = found.violations.map((each) => ({ ...each, nodes: each.nodes.filter(ours) }));
  return wrong.filter((each) => ['serious', 'critical'].includes(each.impact) && each.nodes.length).map((each) =>
    `${each.id} (${each.impact}): ${each.help}: ` + each.nodes.map((node) =>
      node.target.join(' ') + ' ' + node.html.slice(0, 160) + ' ' +
      node.failureSummary.replaceAll(/\\s+/g, ' ')).join(' | '));
}"""

THEME_IS_SHOWN = """(theme) => {
  const fading = document.getAnimations().some((each) => each instanceof CSSTransition);
  const gradio = document.querySelector('.gradio-container');
  return !fading && (gradio === null || document.body.classList.contains('dark') === (theme === 'dark'));
}"""


def serious(page: Any) -> list[str]:
    """What axe finds on the page as it is, one line for each kind."""
    page.evaluate(axe_path().read_text())  # which the page's own policy does not forbid
    problems: list[str] = page.evaluate(RUN_AXE, NOT_OURS)
    return problems


def serious_in_either_theme(page: Any) -> list[str]:
    """What axe finds in light and in dark. An open page follows its browser's theme; nothing is seen half faded."""
    problems = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.wait_for_function(THEME_IS_SHOWN, arg=theme)
        problems += [f"{theme}: {line}" for line in serious(page)]
    return problems


@pytest.fixture
def store(tmp_path: Path, clip: Path) -> Iterator[Store]:
    """Rows to annotate and review, one of them with a clip."""
    with Store(tmp_path / "rows.sqlite3") as store:
        rows = [
            Row(
                qid=str(number),
                query=f"a yellow square crosses {number}",
                vid="square",
                duration_s=4.0,
                windows=((0.0, 2.0),),
                split="val",
            )
            for number in range(3)
        ]
        store.import_rows(rows, dataset="squares", op_id="rows")
        yield store


PAGES = ("/annotate", "/review", "/data", "/train", "/models")


def test_every_page(page: Any, serve: Callable[..., RunningApp], store: Store, clip: Path) -> None:
    running = serve(store=store)
    problems_by_page = {}
    page.goto(running.url)
    expect(page.get_by_text("fake-engine is ready.")).to_be_visible()
    problems_by_page["ground"] = serious_in_either_theme(page)
    page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
    expect(page.locator("#ground-clip video")).to_be_visible()
    page.locator("#ground-query textarea").fill("a yellow square")
    page.locator("#ground-ask").click()
    expect(page.locator("#ground-result .tempo-facts")).to_be_visible()
    expect(page.locator("#ground-ask")).to_be_enabled()
    problems_by_page["ground, answered"] = serious_in_either_theme(page)
    for path in PAGES:
        if page.request.get(f"{running.url}{path}").status != 404:
            page.goto(f"{running.url}{path}")
            expect(page.locator(".nav-holder .tempo-account")).to_contain_text("Local account")
            page.wait_for_timeout(2000)
            expect(page.locator('[aria-label="Empty value"]')).to_have_count(
                0
            )  # charts are still on their way
            problems_by_page[path] = serious_in_either_theme(page)
    report = "\n".join(f"{name}: {line}" for name, lines in problems_by_page.items() for line in lines)
    assert not report, report
    assert {"/annotate", "/review", "/data"} <= set(problems_by_page)


def test_signing_in(page: Any, serve: Callable[..., RunningApp], store: Store) -> None:
    people = People().add(ada="annotator")
    running = serve(store=store, authenticator=Authenticator(anonymous=True, accounts=people.accounts))
    page.goto(f"{running.url}/sign-in?next=/review")
    assert serious_in_either_theme(page) == []
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    assert serious_in_either_theme(page) == []
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Review needs the role adjudicator")
    assert serious_in_either_theme(page) == []
    page.goto(f"{running.url}/sign-in")
    expect(page.get_by_role("heading")).to_have_text("You are signed in")
    assert serious_in_either_theme(page) == []
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("Sign in")


def test_the_badge_says_who_is_here_and_signs_out(
    page: Any, serve: Callable[..., RunningApp], store: Store
) -> None:
    people = People().add(ada="annotator")
    running = serve(store=store, authenticator=Authenticator(anonymous=True, accounts=people.accounts))
    page.goto(running.url)
    badge = page.locator(".nav-holder .tempo-account")
    expect(badge).to_contain_text("Visitor")
    badge.get_by_role("link", name="Sign in").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(badge).to_contain_text("ada")
    badge.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(running.url)
    expect(badge).to_contain_text("Visitor")


def test_ones_own_account_and_everybodys(page: Any, serve: Callable[..., RunningApp], store: Store) -> None:
    people = People(store=store).add(ada="annotator", root="administrator")
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    running = serve(store=store, authenticator=authenticator)
    people.token("ada")
    page.goto(f"{running.url}/sign-in")
    page.get_by_label("Name").fill("root")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator(".nav-holder .tempo-account").get_by_role("link", name="Your account").click()

    def check(heading: str) -> None:
        """Nothing serious in either theme, and nothing to scroll sideways to on a phone."""
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert serious_in_either_theme(page) == []

    check("Your account")
    page.get_by_label("Present password").fill("wrong")
    for label in ("New password, 12 characters or more", "New password once more"):
        page.get_by_label(label).fill("another " + PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The present password is wrong; nothing was changed.")
    check("Your account")
    page.get_by_role("link", name="People").click()
    check("People")
    page.get_by_role("link", name="ada").click()
    check("ada")
    page.get_by_role("button", name="Make a temporary password").click()
    password = page.locator("code").inner_text()
    check("ada")
    page.get_by_role("link", name="Audit log").click()
    check("Audit log")
    page.goto(f"{running.url}/sign-in")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    check("Your account")
    expect(page.get_by_role("status")).to_contain_text("Your password is a temporary one")
