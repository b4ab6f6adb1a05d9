"""What the installation, and not the resource, says about rendered objects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The launcher's image, which carries ``/opt/trireme/runtime.pyz``, and when nodes pull it.

    ``operator_namespace`` is where the operator's pods run, which may ask launchers; empty when they run outside of the
    cluster. ``permit_url`` is where launchers ask whether to start, without a path; empty when nobody answers.
    """

    launcher_image: str
    image_pull_policy: str = "IfNotPresent"
    operator_namespace: str = ""
    permit_url: str = ""
