"""The demo: from nothing to a real model's answer through a real gateway."""
