"""The ruler with which sound is measured on a real node."""

from __future__ import annotations

import math

import pytest

from tests.e2e.phone import RATE, SILENCE, coded_tone, decoded, level


def sine(hertz: float, amplitude: float) -> list[int]:
    return [round(amplitude * math.sin(2 * math.pi * hertz * at / RATE)) for at in range(RATE // 2)]


def test_a_tone_is_measured_at_its_level_and_its_neighbours_are_not() -> None:
    assert level(sine(440, 8192), 440) == pytest.approx(-12.04, abs=0.01)
    assert level(sine(440, 32768), 440) == pytest.approx(0, abs=0.01)
    assert level(sine(440, 8192), 620) < -60
    assert level([0] * 4000, 440) == SILENCE


def test_coding_costs_next_to_nothing() -> None:
    assert level(decoded(coded_tone(440, -12)), 440) == pytest.approx(-12, abs=0.1)
    assert level(decoded(coded_tone(440, -12)), 620) < -50
    assert level(decoded(coded_tone(0, -12)), 440) == SILENCE


def test_the_law() -> None:
    """Values that G.711 gives."""
    assert decoded(bytes([0xFF, 0x7F, 0x80, 0x00])) == [0, 0, 32124, -32124]
