"""NVIDIA devices of this pod's ranks in the launcher's metrics, read from the driver's library (NVML).

The library costs more memory than the launcher itself, so a process apart holds it (``reader``, with ``session``) and
says what it reads, a line each time. ``monitor`` is the launcher's side, and ``metrics`` its text.
"""
