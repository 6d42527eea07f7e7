"""What a route declares instead of doing it: the user, the role that it needs, and its JSON body.

    router = json_router("/annotate/api")

    class SkipRequest(RequestBody):
        op_id: str

    @router.post("/queries/{query_id}/skip")
    def skip(user: Annotator, query_id: int, body: Annotated[SkipRequest, json_body(SkipRequest)]) -> dict[str, Any]:
        ...

The user stands before the body: whoever lacks the role is refused before anything is read.
"""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from app.auth.users import Authenticator, Role, User
from app.http.errors import NO_STORE, BadBody, add_exception_handlers, sentence_of
from app.http.json_values import parse_json

MAX_ID = 2**63 - 1
"""Of a record in a database."""
RecordId = Annotated[int, Path(ge=0, le=MAX_ID)]
"""A record's number in a path."""
AfterId = Annotated[int | None, Query(ge=0, le=MAX_ID)]
"""The last record of the page before, in a query string."""
MAX_BODY_BYTES = 512 * 1024
"""Of a request: an edit with three texts of full length, every character escaped, and 2,000 moments."""

Body = TypeVar("Body", bound=BaseModel)


def prepare_app(app: FastAPI, authenticator: Authenticator) -> None:
    """Make an app answer for its errors and know who is asking; every route below needs it."""
    app.state.authenticator = authenticator
    add_exception_handlers(app)


def current_user(request: Request) -> User | None:
    """The user behind a request; None when nobody is known to be asking."""
    authenticator: Authenticator = request.app.state.authenticator
    return authenticator.resolve(request)


def require_role(role: Role) -> Any:
    """A dependency: the user, who has the role. Raises NotSignedIn (401) or NotAllowed (403)."""

    def user_with_role(request: Request) -> User:
        authenticator: Authenticator = request.app.state.authenticator
        return authenticator.require(request, role)

    return Depends(user_with_role)


CurrentUser = Annotated[User | None, Depends(current_user)]
Visitor = Annotated[User, require_role(Role.VISITOR)]
Annotator = Annotated[User, require_role(Role.ANNOTATOR)]
Adjudicator = Annotated[User, require_role(Role.ADJUDICATOR)]
Researcher = Annotated[User, require_role(Role.RESEARCHER)]
Administrator = Annotated[User, require_role(Role.ADMINISTRATOR)]


class RequestBody(BaseModel):
    """Base of JSON bodies: a field has exactly its type, so that True is no number and "1" neither."""

    model_config = ConfigDict(strict=True, frozen=True)


async def read_body(request: Request, max_bytes: int, remedy: str) -> bytes:
    """The body of a JSON request. Raises BadBody where it is not declared as JSON, or longer (with the remedy)."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise BadBody("Send JSON, with content-type: application/json.", 415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BadBody(f"The request is longer than {max_bytes} bytes. {remedy}", 413)
    return bytes(body)


def json_body(model: type[Body]) -> Any:
    """A dependency: the request's JSON object as this model. Raises BadBody.

    The content type must be declared as JSON, which a form of another site cannot do without asking first.
    """

    async def read(request: Request) -> Body:
        values = parse_json(await read_body(request, MAX_BODY_BYTES, "Shorten texts or moments."))
        if not isinstance(values, dict):
            raise BadBody("The request must be one JSON object.")
        try:
            return model.model_validate(values)
        except ValidationError as error:
            raise BadBody(sentence_of(error)) from error

    return Depends(read)


def json_router(prefix: str) -> APIRouter:
    """A router of JSON routes, whose responses are not stored by the browser."""

    def no_store(response: Response) -> None:
        response.headers.update(NO_STORE)

    return APIRouter(prefix=prefix, include_in_schema=False, dependencies=[Depends(no_store)])
