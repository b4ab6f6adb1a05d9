"""What the Makefile runs. Nothing of it is shipped."""
