"""The kinds of routes that ask for no caller of ours: a signature, or a secret in the path, is what lets in."""

from __future__ import annotations

from fastapi import Request

from app.api.route import ApiRoute, ReadingRoute


class CapabilityRoute(ReadingRoute):
    """A route for whoever knows a secret part of its path, called `capability`."""

    async def admit(self, request: Request) -> None:
        """Check the secret, before anything else is read.

        Raises:
            NotFound: It is not ours.
        """
        request.app.state.resources.codec.require_capability(request.path_params["capability"])


class NoticeRoute(ReadingRoute):
    """A route for services that sign what they send. Its endpoint checks the signature, which is that of the body."""

    async def admit(self, request: Request) -> None:
        """Let everybody in: who it is cannot be known before the body is read."""


class WebhookRoute(NoticeRoute):
    """A route for senders that prove what they send. A repeat is known by what they call it, not by a key."""

    open_action = "webhook.receive"

    async def let_in(self, request: Request) -> None:
        """Admit a request. Its endpoint counts it if it turns out that nobody speaks in it.

        One address sends for users of all kinds: what proves whom it is for must not wait for what does not.

        Raises:
            RateLimited: There were too many from its address, of whatever kind.
        """
        await self.note_address(request)


class ReviewLinkRoute(ApiRoute):
    """A route for whoever holds a signed link to a review, called `token`. Its answer is taken once without a key."""

    changes = False
    open_action = "review.answer"

    async def admit(self, request: Request) -> None:
        """Check the signature, before anything else is read.

        Raises:
            NotFound: The link is not ours, or has expired.
        """
        request.state.link = request.app.state.resources.reviews.read_link(request.path_params["token"])
