"""The control plane's bench: the real operator on a real API server, beside a bare apply of the same objects."""
