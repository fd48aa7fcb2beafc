"""Who asks: the bearer token of a request, and whether its role allows what is asked."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from controlplane.access.tokens import Access, Act, Principal
from controlplane.api.problems import FieldError, Problem
from schemas.reasons import Reason

bearer_scheme = HTTPBearer(auto_error=False, description="The token of a principal; the demo prints one.")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="muster"'}


def require(access: Access, act: Act) -> Callable[..., Awaitable[Principal]]:
    """A dependency that answers with the principal, or 401, or 403."""

    # Without an await in it, and yet async: a plain function would go to a thread with every request.
    async def principal(request: Request, _: Annotated[object, Depends(bearer_scheme)] = None) -> Principal:
        scheme, _space, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _refused("no bearer token; send Authorization: Bearer TOKEN")
        found = access.authenticate(token.strip())
        if found is None:
            raise _refused("this bearer token is not known")
        if not found.may(act):
            detail = f"{found.name} is {found.role_text}: it may not {act}"
            raise Problem(403, Reason.UNAUTHORISED, detail, [FieldError("Authorization", detail)])
        return found

    return principal


def _refused(detail: str) -> Problem:
    return Problem(401, Reason.UNAUTHORISED, detail, [FieldError("Authorization", detail)], _CHALLENGE)
