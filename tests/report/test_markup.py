from otel_wfperf.report.markup import Html, element, join, trusted


def test_escapes_children_and_attributes() -> None:
    built = element("p", "<b>&", title='"><script>')
    assert built == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;</p>'


def test_leaves_elements_alone_and_leaves_out_none() -> None:
    built = element("ul", element("li", 1), None, class_="facts", aria_label="Facts", id=None)
    assert built == '<ul class="facts" aria-label="Facts"><li>1</li></ul>'
    assert isinstance(built, Html)


def test_void_elements_have_no_end_tag() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_joins_and_trusts_what_was_built_here() -> None:
    assert element("p", join([element("i", 1), trusted("<hr>")])) == "<p><i>1</i>\n<hr></p>"
