"""The sign-in page: plain HTML that works without JavaScript, in the system's light or dark colours."""

from html import escape

from app.auth.users import Role, User

STYLE = """
:root { color-scheme: light dark; --page: #f8fafc; --card: #ffffff; --text: #0f172a; --soft: #475569; --line: #cbd5e1;
  --field: #64748b; --accent: #0072b2; --on-accent: #ffffff; --error: #b91c1c; --error-back: #fef2f2; }
@media (prefers-color-scheme: dark) { :root { --page: #0b0f19; --card: #1f2937; --text: #f1f5f9; --soft: #cbd5e1;
  --line: #475569; --field: #94a3b8; --accent: #56b4e9; --on-accent: #06263a; --error: #fecaca;
  --error-back: #450a0a; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { width: 100%; max-width: 25rem; padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; }
h1 { margin: 0; font-size: 1.35rem; font-weight: 650; }
p { margin: .25rem 0 1.25rem; color: var(--soft); }
label { display: block; margin: 1rem 0 .3rem; font-weight: 600; font-size: .9rem; }
input { width: 100%; padding: .65rem .75rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--field); border-radius: 8px; }
button, .go { display: block; width: 100%; margin-top: 1.5rem; padding: .7rem; font: inherit; font-weight: 600;
  text-align: center; text-decoration: none; color: var(--on-accent); background: var(--accent);
  border: 1px solid var(--accent); border-radius: 8px; cursor: pointer; }
button.second { margin-top: .75rem; color: var(--text); background: transparent; border-color: var(--field); }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.error { margin: 1rem 0; padding: .65rem .8rem; color: var(--error); background: var(--error-back);
  border: 1px solid currentColor; border-radius: 8px; }
.foot { margin: 1.5rem 0 0; font-size: .85rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
a.go { color: var(--on-accent); }
"""


def sign_in_page(
    *, next_path: str, name: str = "", error: Exception | None = None, visitors: bool = False
) -> str:
    """The form. `next_path` is where a sign-in leads, `name` what was typed before, `error` a sentence."""
    stated = "" if error is None else f'<p class="error" role="alert" id="error">{escape(str(error))}</p>'
    wrong = "" if error is None else ' aria-describedby="error"'
    first, second = ("", " autofocus") if name else (" autofocus", "")
    foot = '<p class="foot">No account? <a href="/">Look around as a visitor</a>.</p>' if visitors else ""
    return _page(
        "Sign in",
        f"""<h1>Sign in</h1>
<p>Tempo Studio</p>
{stated}
<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{escape(next_path)}">
<label for="name">Name</label>
<input id="name" name="name" value="{escape(name)}" autocomplete="username" autocapitalize="none" spellcheck="false"
 maxlength="64" required{first}{wrong}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024"
 required{second}{wrong}>
<button>Sign in</button>
</form>
{foot}""",
    )


def signed_in_page(user: User, *, next_path: str) -> str:
    """What somebody sees who is signed in already."""
    return _page(
        "Signed in",
        f"""<h1>You are signed in</h1>
<p>as {escape(user.name)}</p>
<a class="go" href="{escape(next_path)}">Go on</a>
<form method="post" action="/sign-out"><button class="second">Sign out</button></form>""",
    )


def no_role_page(user: User | None, *, page: str, role: Role) -> str:
    """What somebody sees who may not open a page: which role it needs, and the ways on."""
    who = f"You are here as {escape(user.name)}. " if user is not None else ""
    way = "Ask whoever runs this app for it." if user is not None and user.signed_in else "Sign in to go on."
    sign_in = "" if user is not None and user.signed_in else '<a class="go" href="/sign-in">Sign in</a>'
    return _page(
        escape(page),
        f"""<h1>{escape(page)} needs the role {escape(role)}</h1>
<p>{who}{way}</p>
{sign_in}
<p class="foot"><a href="/">Back to Ground</a></p>""",
    )


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – Tempo Studio</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
