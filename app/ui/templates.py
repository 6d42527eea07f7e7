"""HTML made in Python: jinja2 templates that stand beside their feature. Every value is escaped."""

import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.http.base_path import address_of


def number(value: float | None, digits: int = 2) -> str:
    """A number with this many digits; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def utc(at_ms: int | None) -> str:
    """Milliseconds since 1970 as a date and a time; a dash for none."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_ms / 1000)) if at_ms else "–"


environment = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= {"number": number, "utc": utc, "thousands": "{:,}".format, "percent": "{:.0%}".format}
environment.globals["address_of"] = address_of


def macros(template: str) -> Any:
    """The macros of a template below app/ ("data/view.html"), as functions that return escaped HTML."""
    return environment.get_template(template).module


def status_html(line: str = "", *, error: bool = False) -> str:
    """One line that takes up its place even when it says nothing."""
    return str(macros("ui/macros.html").status(line, error))
