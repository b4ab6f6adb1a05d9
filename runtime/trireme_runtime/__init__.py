"""The launcher: PID 1 of every pod of a group, around the engine."""

__version__ = "0.1.0"
