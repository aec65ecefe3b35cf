"""The pages of the reference that are made of the code are up to date."""

from __future__ import annotations

import pytest

from scripts import meanings, reference

pytestmark = pytest.mark.one_twin


@pytest.mark.parametrize("name", ["reference-commands.md", "reference-settings.md", "reference-metrics.md"])
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (reference.DOCS / name).read_text() == reference.pages()[name], "make reference brings it up to date"


def test_what_editors_show_of_a_key_is_what_the_page_says() -> None:
    assert meanings.MEANINGS.read_text() == meanings.as_text(), "make reference brings it up to date"
