"""What a plugin author has to know fits on one page."""

from __future__ import annotations

import flowbus


def test_the_public_names_are_few_and_there() -> None:
    assert len(flowbus.__all__) <= 24
    assert all(hasattr(flowbus, name) for name in flowbus.__all__)
