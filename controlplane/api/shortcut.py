"""A route that is found at once, for what is written a thousand times a second.

FastAPI looks through the routes of every router twice, and works out parameters and dependencies with each
request: more work than all that is done about the request itself. So it documents such a route, and answers
what is not plain (a query); the plain request goes past it.
"""

from starlette.routing import Match, Route
from starlette.types import Scope


class Shortcut(Route):
    """Takes its methods without a query, and leaves all else to the routes behind it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["query_string"] or scope["method"] not in (self.methods or ()):
            return Match.NONE, {}
        match, found = super().matches(scope)
        return match, {**found, "route": self}
