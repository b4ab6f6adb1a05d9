"""Tests with the real engine: its parser stands in tests/unit, groups of it here."""
