"""Every page in every state, in the order in which the pictures are taken: Ground and the door here, the rest beside.

States that need bad luck (no connection, an answer that never comes) are staged by answering the page's
requests ourselves; a conflict is a real one.
"""

from pathlib import Path
from typing import Any

from scripts import scenes_annotate, scenes_store
from scripts.scene import Scene, settle, visit
from scripts.stage import PATIENCE_MS, Served

EXAMPLES = Path(__file__).resolve().parents[1] / "app" / "examples"


def ground(page: Any, served: Served) -> None:
    visit(page, served)
    page.get_by_text("is ready.").wait_for(timeout=PATIENCE_MS)
    page.locator(".tempo-cards button").first.wait_for()
    page.locator("#ground-timeline .tl-root").wait_for()
    settle(page)


def _ask(page: Any, query: str) -> None:
    page.locator(".tempo-cards button").first.click()
    page.locator("#ground-clip video").wait_for(timeout=PATIENCE_MS)
    if query:
        page.locator("#ground-query textarea").fill(query)
    page.locator("#ground-ask").click()


def ground_answered(page: Any, served: Served) -> None:
    ground(page, served)
    _ask(page, "")
    page.locator("#ground-result .tempo-facts").wait_for(timeout=PATIENCE_MS)
    settle(page)


def ground_film(page: Any, served: Served) -> None:
    """A question whose words choose the model that knows films."""
    ground(page, served)
    page.locator(".tempo-cards button", has_text="A film with a title").click()
    page.locator("#ground-clip video").wait_for(timeout=PATIENCE_MS)
    page.locator("#ground-query textarea").fill("when is there a fade to black")
    page.locator("#ground-ask").click()
    page.locator("#ground-result .tempo-facts").wait_for(timeout=PATIENCE_MS)
    settle(page)


def ground_refused(page: Any, served: Served) -> None:
    ground(page, served)
    _ask(page, "the picture fades to white")
    page.locator("#ground-result .tempo-facts").wait_for(timeout=PATIENCE_MS)
    settle(page)


def ground_unknown(page: Any, served: Served) -> None:
    ground(page, served)
    _ask(page, "the dog jumps over a fence")
    page.locator("#ground-result .tempo-facts").wait_for(timeout=PATIENCE_MS)
    settle(page)


def ground_working(page: Any, served: Served) -> None:
    ground(page, served)
    _ask(page, "")
    page.locator(".tempo-stages .now").wait_for(timeout=PATIENCE_MS)


def ground_error(page: Any, served: Served) -> None:
    ground(page, served)
    page.locator("#ground-clip input[type=file]").set_input_files(str(EXAMPLES / "shapes-plain.mp4"))
    page.locator("#ground-clip video").wait_for(timeout=PATIENCE_MS)
    page.locator("#ground-ask").click()
    page.locator(".tempo-status.error").wait_for(timeout=PATIENCE_MS)


def ground_lanes(page: Any, served: Served) -> None:
    """Two models about one clip."""
    ground(page, served)
    page.locator("#ground-models").get_by_label("tempo-tiny-footage", exact=True).check()
    _ask(page, "")
    page.locator("#ground-timeline [data-row='model-1']").wait_for(timeout=PATIENCE_MS)
    page.locator("#ground-result .tempo-facts").first.wait_for(timeout=PATIENCE_MS)
    settle(page)


def models(page: Any, served: Served) -> None:
    visit(page, served, "/models")
    page.get_by_role("article", name="tempo-tiny", exact=True).wait_for(timeout=PATIENCE_MS)
    settle(page)


def models_refused(page: Any, served: Served) -> None:
    """A folder without a model in it."""
    models(page, served)
    page.get_by_label("A folder on the server").first.fill(str(EXAMPLES))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("alert").filter(has_text="config.json").wait_for(timeout=PATIENCE_MS)


def visitor(page: Any, served: Served) -> None:
    """Somebody who is not signed in, on a page that needs a role."""
    visit(page, served, "/annotate")
    page.get_by_role("heading", name="Annotate needs the role annotator").wait_for()


def sign_in(page: Any, served: Served) -> None:
    visit(page, served, "/sign-in")
    page.get_by_label("Name").wait_for()


def sign_in_wrong(page: Any, served: Served) -> None:
    sign_in(page, served)
    page.get_by_label("Name").fill(f"{served.account}-typo")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()


def signed_in(page: Any, served: Served) -> None:
    sign_in(page, served)
    page.get_by_label("Name").fill(served.account)
    page.get_by_label("Password").fill(served.password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for(timeout=PATIENCE_MS)
    page.locator("#ground-timeline .tl-root").wait_for(timeout=PATIENCE_MS)
    settle(page)


def signed_in_already(page: Any, served: Served) -> None:
    signed_in(page, served)
    visit(page, served, "/sign-in")
    page.get_by_role("heading", name="You are signed in").wait_for()


SCENES = (
    *scenes_annotate.SCENES[:1],  # before there is a sample project
    Scene(name="ground-empty", act=ground),
    Scene(name="ground-working", act=ground_working),
    Scene(name="ground-answered", act=ground_answered),
    Scene(name="ground-film", act=ground_film),
    Scene(name="ground-refused", act=ground_refused),
    Scene(name="ground-unknown", act=ground_unknown),
    Scene(name="ground-error", act=ground_error),
    Scene(name="ground-lanes", act=ground_lanes),
    Scene(name="models", act=models),
    Scene(name="models-refused", act=models_refused),
    *scenes_annotate.SCENES[1:],
    *scenes_store.SCENES,
    Scene(name="visitor-annotate", act=visitor, signed_out=True),
    Scene(name="sign-in", act=sign_in, signed_out=True),
    Scene(name="sign-in-wrong", act=sign_in_wrong, signed_out=True),
    Scene(name="sign-in-done", act=signed_in, signed_out=True),
    Scene(name="sign-in-already", act=signed_in_already, signed_out=True),
)
