import os
from pathlib import Path


def test_tests_have_a_data_directory_of_their_own(settings):
    assert Path(os.environ["LEFT4ME_ROOT"]) == settings.LEFT4ME_ROOT
    assert "left4me-test-" in str(settings.LEFT4ME_ROOT)
