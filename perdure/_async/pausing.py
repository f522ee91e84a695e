"""How this client waits."""

from anyio import sleep as pause

__all__ = ["pause"]
