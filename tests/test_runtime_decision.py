"""The decision in bundle.json: what is written comes back, and what is unsound is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.errors import BundleError
from headstart.runtime.decision import from_json, schema, to_json
from headstart.types import Decision

K = 3
PLAIN = {"temperature": 1.3, "coverage": 0.9, "set_threshold": 0.2, "abstain_below": 0.0}

shares = st.floats(0, 1)
inside = st.floats(0.001, 0.999)
finite = st.floats(-1e6, 1e6)


@st.composite
def decisions(draw):
    kind = draw(st.sampled_from(["lac", "aps", "class"]))
    scaled = draw(st.booleans())
    row = st.lists(finite, min_size=K, max_size=K).map(tuple)
    return Decision(
        temperature=draw(st.floats(0.01, 100)),
        coverage=draw(inside),
        set_threshold=draw(shares),
        abstain_below=draw(shares),
        scale=draw(row) if scaled else (),
        shift=draw(row) if scaled else (),
        sets=kind,
        class_thresholds=draw(st.lists(shares, min_size=K, max_size=K).map(tuple))
        if kind == "class"
        else (),
        familiar_above=draw(st.none() | finite),
        at_precision=draw(st.none() | inside),
    )


@given(decisions())
def test_it_comes_back_through_json(decision):
    data = json.loads(json.dumps(to_json(decision), allow_nan=False))
    assert from_json(data, K) == decision
    plain = not decision.scale and decision.sets == "lac" and decision.familiar_above is None
    assert schema(decision) == (1 if plain else 2)


def test_what_schema_1_wrote_is_read_as_before():
    assert from_json(PLAIN, K) == Decision(1.3, 0.9, 0.2, 0.0)
    without = {key: value for key, value in PLAIN.items() if key != "abstain_below"}
    assert from_json(without, K) == Decision(1.3, 0.9, 0.2, 0.0)
    assert to_json(Decision(1.3, 0.9, 0.2, 0.0)) == PLAIN


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", None, "decision.temperature is None, not a number"),
        ("temperature", "1.0", "decision.temperature is '1.0', not a number"),
        ("temperature", True, "decision.temperature is True, not a number"),
        ("temperature", 0, "above 0"),
        ("temperature", float("nan"), "decision.temperature is nan"),
        ("temperature", float("inf"), "decision.temperature is inf"),
        ("temperature", 10**400, "above 0"),
        ("temperature", [1.0], "not a number"),
        ("coverage", 1.0, "decision.coverage is 1.0, not between 0 and 1"),
        ("coverage", -0.1, "between 0 and 1"),
        ("set_threshold", 1.1, r"decision.set_threshold is 1.1, not within 0..1"),
        ("abstain_below", -0.1, "decision.abstain_below is -0.1, not within"),
        ("scale", [1.0, 1.0], r"decision.scale is \[1.0, 1.0\], not 0 or 3 numbers, it holds 2"),
        ("scale", {"0": 1}, "decision.scale is {'0': 1}, not a list"),
        ("shift", [0.0, None, 0.0], r"decision.shift\[1\] is None, not a number"),
        ("shift", [0.0, 0.0, float("inf")], r"decision.shift\[2\] is inf, not a finite number"),
        ("sets", "raps", "decision.sets is 'raps', not one of lac, aps, class"),
        ("sets", ["lac"], "decision.sets is"),
        ("sets", "class", r"decision.class_thresholds is \[\], not 3 numbers, it holds 0"),
        ("class_thresholds", [0.1] * 3, "not 0 numbers, it holds 3"),
        ("familiar_above", "high", "decision.familiar_above is 'high', not a number"),
        ("familiar_above", float("nan"), "decision.familiar_above is nan"),
        ("at_precision", 1.5, "decision.at_precision is 1.5, not between 0 and 1"),
        ("at_precision", "x" * 99, "decision.at_precision is 'xxx.*, not a number"),
    ],
)
def test_the_first_unsound_field_is_named(field, value, message):
    with pytest.raises(BundleError, match=message) as caught:
        from_json({**PLAIN, field: value}, K, "m.headstart: bundle.json")
    assert caught.value.message.startswith("m.headstart: bundle.json: decision.")
    assert len(caught.value.message) < 200


def test_class_thresholds_are_within_0_and_1():
    good = {**PLAIN, "sets": "class", "class_thresholds": [0.0, 0.5, 1.0]}
    assert from_json(good, K).class_thresholds == (0.0, 0.5, 1.0)
    with pytest.raises(BundleError, match=r"class_thresholds\[2\] is 1.5, not within 0..1"):
        from_json({**good, "class_thresholds": [0.0, 0.5, 1.5]}, K)


FIELDS = [*PLAIN, "scale", "shift", "sets", "class_thresholds", "familiar_above", "at_precision"]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
json_values = (
    scalars | st.lists(scalars, max_size=4) | st.dictionaries(st.text(max_size=2), scalars)
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3))
def test_any_json_is_read_or_refused(changes):
    try:
        found = from_json({**PLAIN, **changes}, K)
    except BundleError as error:
        assert error.fix
    else:
        assert from_json(to_json(found), K) == found
