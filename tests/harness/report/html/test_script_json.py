"""JSON within a script element: read back as it was, and never the element's end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.harness.formatting import plain
from stabench.harness.render.escape import encode_script_json


@settings(deadline=None, max_examples=60)
@given(st.text(), st.text())
def test_texts_come_back_without_control_characters_and_no_markup_is_there(key, value):
    text = encode_script_json({key: [value, 1.5, None, True]})
    assert json.loads(text) == {plain(key): [plain(value), 1.5, None, True]}
    assert not set(text) & set("<>&\u2028\u2029")
    text.encode()


def test_the_end_of_a_script_is_escaped():
    assert encode_script_json("</script><!--") == '"\\u003c/script\\u003e\\u003c!--"'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_script_json({"kl": value})
