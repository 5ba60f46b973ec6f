from otel_wfperf.report.columns import clean, clip, pad, width, wrap


def test_replaces_what_could_change_the_terminal() -> None:
    assert clean("a\x1b[31m\nb\u202ec") == "a [31m b c"
    assert clean("plain text") == "plain text"


def test_counts_wide_characters_twice_and_combining_ones_not_at_all() -> None:
    assert [width(text) for text in ("abc", "検索", "é", "e\u0301")] == [3, 4, 1, 1]


def test_clips_to_columns_and_marks_it() -> None:
    assert clip("research", 8) == "research"
    assert clip("researcher", 8) == "researc…"
    assert clip("検索エージェント", 8) == "検索エ…"
    assert clip("researcher", 8, ellipsis="...") == "resea..."


def test_pads_by_columns() -> None:
    assert pad("検索", 6) == "検索  "


def test_wraps_with_indentation_and_never_returns_nothing() -> None:
    assert wrap("one two three", 9, first="- ", rest="  ") == ["- one two", "  three"]
    assert wrap("", 9, first="- ") == ["-"]


def test_wraps_by_columns_and_cuts_words_that_are_too_long() -> None:
    assert wrap("検索 検索 検索", 9) == ["検索 検索", "検索"]
    assert wrap("a abcdefghij b", 6, rest="  ") == ["a", "  abcd", "  efgh", "  ij b"]
