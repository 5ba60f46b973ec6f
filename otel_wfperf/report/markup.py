"""HTML that is escaped unless it was built here."""

from html import escape


class Html(str):
    """Text that is HTML already; only :func:`element`, :func:`text` and :func:`trusted` make it."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escape a value."""
    return Html(escape(str(value)))


def trusted(source: str) -> Html:
    """Mark a constant of this package as HTML; never call it with what came from outside."""
    return Html(source)


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Build an element: children are escaped unless they are HTML, attributes always are.

    ``None`` leaves a child or an attribute out. ``class_`` is ``class``, and ``aria_label`` is ``aria-label``.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    inner = "".join(child if isinstance(child, Html) else escape(str(child)) for child in children if child is not None)
    return Html(f"<{tag}{written}>{inner}</{tag}>")


def join(parts: "list[Html]") -> Html:
    """Put elements one after another."""
    return Html("\n".join(parts))


_VOID = frozenset({"br", "hr", "meta", "link"})
