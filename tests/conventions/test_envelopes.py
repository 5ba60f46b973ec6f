from otel_wfperf.conventions.envelopes import answers, inside


def test_takes_what_was_said_out_of_a_json_object() -> None:
    assert inside('{"model": "m", "messages": [1]}', "messages") == [1]
    assert inside({"output": None, "result": "x"}, "output", "result") == "x"
    assert inside("plain text", "messages") == "plain text"
    assert inside('{"other": 1}', "messages") == '{"other": 1}'


def test_takes_the_messages_out_of_choices() -> None:
    assert answers([{"message": {"content": "a"}}, {"text": "b"}, "c"]) == [{"content": "a"}, {"text": "b"}, "c"]
    assert answers("plain text") == "plain text"
