"""Who is signed in, their pages, and the way in or out, at the top of every page.

It asks GET /account by itself, so that it neither waits for the queue nor bakes a name into the page.
"""

import gradio as gr

from app.http.base_path import address_script

TEMPLATE = '<div class="tempo-account" aria-live="polite"></div>'

# Names are set as text: they come from a form. The badge moves into the navigation bar, which has no place
# for components of ours; one that an earlier mount left there goes.
SCRIPT = """
const root = element.querySelector(".tempo-account");
const bar = document.querySelector(".nav-holder");
if (bar) {
  bar.querySelectorAll(".tempo-account").forEach((old) => old.remove());
  bar.prepend(root);
}
const make = (tag, text, attributes = {}) => {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};
const show = (account) => {
  const title = "Roles: " + account.roles.join(", ");
  const own = { href: account.settings, title, class: "name", "aria-label": account.name + ", your account" };
  const parts = [account.settings ? make("a", account.name, own) : make("span", account.name, { title })];
  if (account.people) parts.push(make("a", "People", { href: account.people }));
  if (account.signed_in) {
    const form = make("form", "", { method: "post", action: addressOf("/sign-out") });
    form.append(make("button", "Sign out"));
    parts.push(form);
  } else if (account.may_sign_in) {
    const here = encodeURIComponent(location.pathname + location.search);
    parts.push(make("a", "Sign in", { href: addressOf("/sign-in?next=") + here }));
  }
  root.replaceChildren(...parts);
};
fetch(addressOf("/account"), { headers: { accept: "application/json" } })
  .then((answer) => (answer.ok ? answer.json().then(show) : location.assign(addressOf("/sign-in"))))
  .catch(() => root.replaceChildren());
"""


def account_badge() -> gr.HTML:
    """Make the component inside the current page."""
    return gr.HTML(
        html_template=TEMPLATE,
        js_on_load=address_script() + SCRIPT,
        apply_default_css=False,
        padding=False,
        elem_classes="tempo-account-holder",
    )
