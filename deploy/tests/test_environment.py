from __future__ import annotations

from pathlib import Path

import pytest

from deploy.ops import environment
from deploy.ops.layout import Layout


def test_comments_empty_lines_and_what_is_no_assignment_are_passed_over():
    assert environment.parse("# A=1\n; B=2\n\nnonsense\nC = 3 \n") == {"C": "3"}


@pytest.mark.parametrize("value", ["plain", "two words", 'a "quoted" $one', "it's", "back\\slash", "#no comment", ""])
def test_a_value_is_read_as_it_was_written(value: str):
    assert environment.parse(environment.with_values("", {"NAME": value})) == {"NAME": value}


def test_a_setting_goes_where_its_example_stands_and_the_rest_stays():
    text = "# What is A?\n# A=example\n# B=other\n"
    assert environment.with_values(text, {"A": "1"}) == "# What is A?\nA=1\n# B=other\n"


def test_a_setting_that_is_set_is_replaced_and_its_example_stays():
    assert environment.with_values("# A=example\nA=1\n", {"A": "2"}) == "# A=example\nA=2\n"


def test_an_unknown_setting_goes_to_the_end():
    assert environment.with_values("# A=1\n", {"Z": "1"}) == "# A=1\nZ=1\n"


def test_secrets_have_the_last_word_as_in_the_units(tmp_path: Path):
    layout = Layout(tmp_path)
    environment.write(layout.settings_file, "A=1\nB=1\n", layout=layout)
    environment.write(layout.secrets_file, "B=2\n", layout=layout)
    assert environment.read(layout) == {"A": "1", "B": "2"}


def test_files_are_for_root_and_the_application_only(tmp_path: Path):
    layout = Layout(tmp_path)
    environment.write(layout.secrets_file, "A=1\n", layout=layout)
    assert layout.secrets_file.stat().st_mode & 0o777 == 0o640
    assert environment.files(layout) == [layout.secrets_file]


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "LD_AUDIT", "PYTHONPATH", "PYTHONSTARTUP", "GCONV_PATH", "OPENSSL_CONF", "PATH", "BASH_ENV"]
)
def test_a_variable_that_makes_programs_run_other_code_is_no_setting(tmp_path: Path, name: str):
    layout = Layout(tmp_path)
    environment.write(layout.settings_file, f"LEFT4ME_HOST=local\n {name} = /tmp/x\n", layout=layout)
    with pytest.raises(environment.BadSettings, match=rf"left4me\.env sets {name}.*Remove the line"):
        environment.read(layout)


def test_every_setting_of_the_example_can_be_set(tmp_path: Path):
    layout = Layout(tmp_path)
    example = (Path(__file__).parents[1] / "env.example").read_text().replace("\n# ", "\n")
    environment.write(layout.settings_file, f"{example}TZ=UTC\nhttps_proxy=http://proxy\n", layout=layout)
    assert {"LEFT4ME_PORTS", "DATABASE_URL", "STEAM_WEB_API_KEY", "TZ"} <= environment.read(layout).keys()


@pytest.mark.parametrize("value", ["a\nLEFT4ME_DEBUG=true", "a\r\nb", "a\x0bb", "a\u2028b", "a\0b", "a\n"])
def test_a_value_of_several_lines_is_refused(value: str):
    with pytest.raises(environment.BadSettings, match="NAME is not one line"):
        environment.with_values("", {"NAME": value})
