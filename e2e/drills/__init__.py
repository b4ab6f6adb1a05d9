"""Drills: a running model is broken on purpose, under traffic, and what follows is measured."""
