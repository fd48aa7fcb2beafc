"""Errors as RFC 9457 problem details: what is wrong, in which field, and what would be right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from controlplane.intent import MayNot, NotFound, PreconditionFailed, Taken, Unfit
from controlplane.loops.ports import BusUnavailable, StoreUnavailable
from controlplane.queries.paging import BadQuery
from schemas.reasons import Reason

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 50
_log = structlog.get_logger("api")


@dataclass(frozen=True)
class FieldError:
    """field: a path such as `spec.manifests[0].kind`, a parameter or a header; "" is the whole body."""

    field: str
    message: str


class Problem(Exception):
    """Raised anywhere under the API; answered as it says."""

    def __init__(
        self,
        status: int,
        reason: Reason,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})


def invalid(field: str, message: str, status: int = 422) -> Problem:
    """One field that is wrong."""
    where = f"{field}: {message}" if field else message
    return Problem(status, Reason.INVALID, where, [FieldError(field, message)])


def not_found(what: str) -> Problem:
    return Problem(404, Reason.NOT_FOUND, f"{what} is not there")


def render(problem: Problem) -> Response:
    reason = problem.reason.value
    body: dict[str, Any] = {
        "type": f"https://muster.dev/problems/{_kebab(reason)}",
        "title": _title(reason),
        "status": problem.status,
        "detail": problem.detail,
        "reason": reason,
        "errors": [{"field": each.field, "message": each.message} for each in problem.errors[:MAX_ERRORS]],
    }
    return Response(msgspec.json.encode(body), problem.status, problem.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every exception that may leave a handler, and the problem it becomes."""

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101 - registered for nothing else
        return render(error)

    async def on_known(_: Request, error: Exception) -> Response:
        return render(_translate(error))

    async def on_unknown(request: Request, error: Exception) -> Response:
        _log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
        detail = "an error of ours; its trace is in the log of the service"
        return render(Problem(500, Reason.INTERNAL, detail))

    app.add_exception_handler(Problem, on_problem)
    for kind in (
        BadQuery,
        NotFound,
        PreconditionFailed,
        Taken,
        Unfit,
        MayNot,
        StoreUnavailable,
        BusUnavailable,
        RequestValidationError,
        HTTPException,
    ):
        app.add_exception_handler(kind, on_known)
    app.add_exception_handler(Exception, on_unknown)


def _translate(error: Exception) -> Problem:
    match error:
        case BadQuery():
            return invalid(error.parameter, str(error), 400)
        case NotFound():
            return Problem(404, Reason.NOT_FOUND, str(error.args[0] if error.args else error))
        case PreconditionFailed():
            detail = f"{error}; read it again and decide anew"
            failed = [FieldError("If-Match", f"current is {etag(error.current)}")]
            return Problem(412, Reason.CONFLICT, detail, failed, {"ETag": etag(error.current)})
        case Taken():
            return Problem(409, Reason.CONFLICT, str(error))
        case Unfit():
            errors = [FieldError(field, message) for field, message in error.problems]
            return Problem(422, Reason.INVALID, str(error), errors)
        case MayNot():
            return Problem(403, Reason.UNAUTHORISED, str(error), [FieldError("Authorization", str(error))])
        case StoreUnavailable():
            detail = "the database does not answer; nothing is known to be stored, and to repeat is safe"
            return Problem(503, Reason.UNAVAILABLE, detail, headers={"Retry-After": "2"})
        case BusUnavailable():
            detail = "NATS does not answer; try again"
            return Problem(503, Reason.UNAVAILABLE, detail, headers={"Retry-After": "2"})
        case RequestValidationError():
            errors = [FieldError(_field(each["loc"]), str(each["msg"])) for each in error.errors()]
            return Problem(400, Reason.INVALID, "; ".join(f"{e.field}: {e.message}" for e in errors), errors)
        case HTTPException():
            return _of_status(error)
        case _:
            raise error


def _of_status(error: HTTPException) -> Problem:
    reason = Reason.NOT_FOUND if error.status_code == 404 else Reason.INVALID
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail and error.detail != phrase else f"{phrase}: see /openapi.json"
    return Problem(error.status_code, reason, detail, headers=error.headers)


def etag(resource_version: int) -> str:
    return f'"{resource_version}"'


def _field(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location[1:]) or str(location[0])


def _kebab(reason: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in reason).removeprefix(
        "-"
    )


def _title(reason: str) -> str:
    return _kebab(reason).replace("-", " ").capitalize()
