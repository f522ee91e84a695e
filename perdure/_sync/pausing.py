"""How this client waits."""

from time import sleep as pause

__all__ = ["pause"]
