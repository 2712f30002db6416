"""What /newInstance lets through is what a configuration file may say, whatever was sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mindspore_federated.config.model import Client, CommonConfig, Round
from mindspore_federated.scheduler.bodies import UnreadableBodyError, decode
from mindspore_federated.scheduler.hyper_parameters import (
    FLOAT_FIELDS,
    INTEGER_FIELDS,
    SHOWN,
    changes,
    shown,
)
from mindspore_federated.scheduler.refusals import InvalidFieldError

FIELDS = [*INTEGER_FIELDS, *FLOAT_FIELDS]
SECTIONS = {**INTEGER_FIELDS, "update_model_ratio": Round, "client_learning_rate": Client}
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, 1.0, 1e-46, 3.5e38]),
)
values = st.recursive(
    st.one_of(numbers, st.text(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)


@given(st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text()), values))
def test_what_passes_could_stand_in_a_file(body):
    try:
        changed = changes(body)
    except InvalidFieldError:
        return
    assert set(changed) == set(FIELDS) & set(body)
    for name, text in changed.items():
        field = SECTIONS[name].model_fields[name]
        number = (int if name in INTEGER_FIELDS else float)(text)
        adapter = TypeAdapter(field.annotation)
        for constraint in field.metadata:
            adapter = TypeAdapter(type_with(field.annotation, constraint))
            assert adapter.validate_python(number) == number


def type_with(annotation, constraint):
    from typing import Annotated

    return Annotated[annotation, constraint]


@given(st.binary(max_size=200))
def test_bytes_are_json_or_refused(body):
    try:
        decoded = decode(body)
    except UnreadableBodyError:
        return
    # Infinities come of numbers that are JSON, but huge; nothing else may differ.
    assert repr(json.loads(body.decode())) == repr(decoded)


@given(values)
def test_json_is_read(value):
    text = json.dumps(value)
    try:
        decode(text.encode())
    except UnreadableBodyError:
        assert "NaN" in text or "Infinity" in text


@given(st.dictionaries(st.sampled_from(sorted(SHOWN)), st.text(), min_size=len(SHOWN)))
def test_rows_of_any_texts(row):
    from mindspore_federated.scheduler.refusals import MalformedRecordError

    try:
        result = shown(row)
    except MalformedRecordError:
        return
    assert set(result) == set(SHOWN)


def test_the_configuration_bounds_the_integers():
    assert CommonConfig in SECTIONS.values()
    with pytest.raises(InvalidFieldError, match=r"\[1,2147483647\]"):
        changes({"client_epoch_num": 2**31})
