from left4me.core.masks import Masker

SECRET = "Sesame123Sesame456"


def test_a_text_that_goes_on_ends_before_a_secret_that_has_begun():
    mask = Masker([SECRET, "another"])
    whole = f"a {SECRET} b"
    for end in range(len(whole) + 1):
        shown = mask.so_far(whole[:end])
        assert "Sesa" not in shown
        assert whole.startswith(shown) or shown.startswith("a •••")
    assert mask.so_far(f"a {SECRET} b") == "a ••• b"
    assert Masker().so_far("as it is") == "as it is"


def test_bytes_are_masked_without_a_change_of_their_number():
    assert Masker([SECRET]).in_place(b"\xff" + SECRET.encode() + b"\n") == b"\xff" + b"*" * len(SECRET) + b"\n"
    assert Masker().in_place(b"as it is") == b"as it is"
