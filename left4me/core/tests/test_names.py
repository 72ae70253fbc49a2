import pytest
from django.core.exceptions import ValidationError

from left4me.core import names


@pytest.mark.parametrize(
    "name", ["a\u202eb", "\u2066a", "a\u200f", "a\u061c", "\ufeffa", 'a"b', "a\nb", "a\x7f", "\u2028"]
)
def test_a_name_that_would_look_like_another_one_is_refused(name):
    with pytest.raises(ValidationError, match="invisible characters"):
        names.is_plain(name)


@pytest.mark.parametrize("name", ["Krake’s – Server", "שרת", "خادم", "日本 サーバー", "👩‍🚀", "it's 100 % (versus)"])
def test_names_of_every_script_are_fine(name):
    names.is_plain(name)
