"""Blocks of services that need an account: the weather, and places by Google Maps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsRef
from app.blocks.service_calls import ask, read_object
from app.errors import BlockError
from app.graph.credentials import CredentialsNeed
from app.graph.signature import Effect

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

WEATHER_URL = "https://api.openweathermap.org/data/2.5/weather"
PLACES_URL = "https://places.googleapis.com/v1/places:searchText"
PLACES_ON_A_PAGE = 20
MAX_PLACES = 60

_PLACE_FIELDS = (
    "displayName",
    "formattedAddress",
    "internationalPhoneNumber",
    "rating",
    "userRatingCount",
    "websiteUri",
)


class GetWeatherInformationBlock(RemoteBlock):
    """Look up the weather of a place, by OpenWeatherMap."""

    id = "f7a8b2c3-6d4e-5f8b-9e7f-6d4e5f8b9e7f"
    categories = (BlockCategory.SEARCH,)
    effect = Effect.PURE
    timeout_seconds = 90.0
    credentials = MappingProxyType({"credentials": CredentialsNeed(providers=("openweathermap",))})

    class Input(BlockInput):
        """The place."""

        location: str
        """A town, with its country after a comma if need be."""
        credentials: CredentialsRef | None = None
        """Of OpenWeatherMap."""
        use_celsius: bool = True
        """Whether the temperature is in degrees Celsius; otherwise in Fahrenheit."""

    class Output(BlockOutput):
        """The weather now."""

        temperature: str
        """In degrees."""
        humidity: str
        """In per cent."""
        condition: str
        """In a few words."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Look the weather up.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: The service cannot be reached.
            BlockError: It knows no such place, or refuses.
        """
        stored = await context.require_credentials(ApiKey)
        units = "metric" if given.use_celsius else "imperial"
        query = {"q": given.location, "units": units, "appid": stored.key}
        answer = await ask(context, WEATHER_URL, service="The weather service", query=query)
        weather = read_object(answer, service="The weather service")
        try:
            now, condition = weather["main"], weather["weather"][0]["description"]
            outputs = {"temperature": now["temp"], "humidity": now["humidity"], "condition": condition}
        except (LookupError, TypeError):
            raise BlockError("The weather service gave no weather") from None
        for pin, value in outputs.items():
            yield pin, str(value)


class GoogleMapsSearchBlock(RemoteBlock):
    """Search places in Google Maps."""

    id = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    categories = (BlockCategory.SEARCH,)
    emits_many = True
    effect = Effect.PURE
    timeout_seconds = 180.0
    credentials = MappingProxyType({"credentials": CredentialsNeed(providers=("google_maps",))})

    class Input(BlockInput):
        """The search."""

        credentials: CredentialsRef | None = None
        """Of Google Maps."""
        query: str
        """What and where, as in `bakery in Lyon`."""
        radius: int = 5000
        """Not used: the query says where."""
        max_results: int = PLACES_ON_A_PAGE
        """Places at most, up to 60."""

    class Output(BlockOutput):
        """The places one by one."""

        place: dict[str, Any]
        """`name`, `address`, `phone`, `rating`, `reviews` (their number) and `website`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Search.

        Raises:
            CredentialsMissing: None were chosen.
            BlockUnavailable: Google cannot be reached.
            BlockError: It refuses.
        """
        stored = await context.require_credentials(ApiKey)
        fields = ",".join(["nextPageToken", *(f"places.{name}" for name in _PLACE_FIELDS)])
        headers = {"X-Goog-Api-Key": stored.key, "X-Goog-FieldMask": fields}
        wanted, token = max(0, min(given.max_results, MAX_PLACES)), ""
        while wanted > 0:
            asked = {"textQuery": given.query, "pageSize": min(wanted, PLACES_ON_A_PAGE)}
            answer = await ask(
                context,
                PLACES_URL,
                service="Google Maps",
                headers=headers,
                json=asked | ({"pageToken": token} if token else {}),
                changes_nothing=True,
            )
            page = read_object(answer, service="Google Maps")
            places = page.get("places") or []
            for place in places[:wanted]:
                yield "place", _place_of(place)
            wanted, token = wanted - len(places), page.get("nextPageToken") or ""
            if not token or not places:
                return


def _place_of(place: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": (place.get("displayName") or {}).get("text") or "",
        "address": place.get("formattedAddress") or "",
        "phone": place.get("internationalPhoneNumber") or "",
        "rating": place.get("rating") or 0,
        "reviews": place.get("userRatingCount") or 0,
        "website": place.get("websiteUri") or "",
    }
