"""Drills: a served model is broken on purpose, or maintained, under traffic, and what follows is measured."""
