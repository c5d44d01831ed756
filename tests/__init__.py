"""Tests of the whole system; each app keeps its own beside its code."""
