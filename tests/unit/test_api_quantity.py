"""Quantities come out in the spelling that the API server stores."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trireme_operator.api.quantity import canonical, value_of


@pytest.mark.parametrize(
    ("given_text", "want"),
    [
        pytest.param("1024Mi", "1Gi", id="the largest binary unit that leaves a whole number"),
        pytest.param("1.5Gi", "1536Mi", id="a binary fraction becomes a smaller unit"),
        pytest.param("1000Ki", "1000Ki", id="a decimal number of binary units stays"),
        pytest.param("0.5Ki", "512", id="less than one Ki has no binary unit"),
        pytest.param("1023Ki", "1023Ki", id="just below the next unit"),
        pytest.param("1000m", "1", id="a thousand thousandths"),
        pytest.param("1500m", "1500m", id="one and a half"),
        pytest.param("0.5", "500m", id="a decimal fraction"),
        pytest.param("2000", "2k", id="thousands"),
        pytest.param(2000, "2k", id="a number and not a text"),
        pytest.param(8, "8", id="a small number"),
        pytest.param("1000k", "1M", id="thousands of thousands"),
        pytest.param("1e3", "1e3", id="exponents stay exponents"),
        pytest.param("12e2", "1200", id="an exponent that is no multiple of three"),
        pytest.param("0", "0", id="nothing"),
        pytest.param("0Gi", "0", id="nothing of a unit"),
        pytest.param("100000000000n", "100", id="billionths"),
        pytest.param("0.0000000001", "1n", id="finer than a billionth rounds up"),
        pytest.param("-1.5", "-1500m", id="a negative amount"),
        pytest.param("2E", "2E", id="E is the unit exa, no exponent"),
    ],
)
def test_a_quantity_is_spelled_as_the_api_server_does(given_text: int | str, want: str) -> None:
    assert canonical(given_text) == want


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1Kb", "ten", "1.2.3", "True", "None", "[]", "1e"])
def test_what_is_no_quantity_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity: write a number"):
        canonical(text)
    with pytest.raises(ValueError, match="no quantity"):
        value_of(text)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ["1e20000000", "1E-20000000", "1e100", "9" * 65, "0." + "1" * 10**6])
def test_a_quantity_whose_arithmetic_would_never_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantity: write"):
        canonical(text)
    with pytest.raises(ValueError, match="quantity: write"):
        value_of(text)


@given(
    sign=st.sampled_from(["", "+", "-"]), digits=st.from_regex(r"[0-9.]{1,70}", fullmatch=True), exponent=st.integers()
)
def test_any_exponent_is_spelled_or_refused(sign: str, digits: str, exponent: int) -> None:
    text = f"{sign}{digits}e{exponent}"
    try:
        spelled = canonical(text)
    except ValueError:
        return
    assert len(spelled) > 64 or canonical(spelled) == spelled


units = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])


@given(number=st.integers(min_value=0, max_value=10**9), unit=units)
def test_the_canonical_spelling_means_the_same_and_is_stable(number: int, unit: str) -> None:
    text = f"{number}{unit}"
    spelled = canonical(text)
    assert value_of(spelled) == value_of(text)
    assert canonical(spelled) == spelled


@given(whole=st.integers(0, 1000), thousandths=st.integers(0, 999), unit=st.sampled_from(["", "k", "Gi"]))
def test_fractions_keep_their_value(whole: int, thousandths: int, unit: str) -> None:
    text = f"{whole}.{thousandths:03d}{unit}"
    factor = {"": 1, "k": 1000, "Gi": 1024**3}[unit]
    assert value_of(canonical(text)) == value_of(text) == Fraction(whole * 1000 + thousandths, 1000) * factor
