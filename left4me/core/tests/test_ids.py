import pytest
from django.urls import reverse

from left4me.core.web import ids
from left4me.core.web.ids import LARGEST_ID, IdConverter, parse_id, parse_ids


@pytest.mark.parametrize("text", ["0", "7", "007", str(LARGEST_ID)])
def test_a_number_of_63_bits_is_an_id(text: str) -> None:
    assert parse_id(text) == IdConverter().to_python(text) == int(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "٣", " 1", "x", str(LARGEST_ID + 1), "9" * 5000])
def test_everything_else_is_none(text: str) -> None:
    assert parse_id(text) is None
    with pytest.raises(ValueError):
        IdConverter().to_python(text)


def test_of_several_texts_the_ids_are_kept_in_order() -> None:
    assert parse_ids(["3", "x", "1", ""]) == [3, 1]


def test_an_address_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(ids, "reverse", lambda page, args: made.append(args) or reverse(page, args=args))
    ids.address.cache_clear()
    for pk in (1, 2, 1):
        assert ids.address("servers:detail", pk) == reverse("servers:detail", args=[pk])
    assert made == [(1,), (2,)]
