"""What every page is in: head, style, main part."""

from __future__ import annotations

from otel_wfperf.report.markup import Html, element, trusted
from otel_wfperf.report.stylesheet import STYLESHEET


def whole_page(title: str, main: Html, *more_styles: str) -> str:
    """Return an HTML file that needs nothing else; styles are CSS of our own."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", *map(trusted, (STYLESHEET, *more_styles))),
    )
    return f'<!doctype html>\n<html lang="en">\n{head}\n{element("body", main)}\n</html>\n'
