"""From the body of a chat completion to a clip and a question.

The clip is the last user message's that holds one: a `video_url` part, or `image_url` parts that are frames of one. The
question is the text of the last user message. Media are base64 data URLs; an address is never fetched.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.http.errors import BadBody

MAX_BODY_BYTES = 48 * 2**20
"""Of a request: a clip of 36 MB, which base64 makes a third longer. Larger ones are uploaded."""
TOO_LONG = "Send a shorter clip, or upload it and ask /ground."
MAX_MESSAGES = 64
MAX_PARTS = 1024
MAX_PICTURES = 512
_DATA_URL = re.compile(
    r"data:(?P<kind>video|image)/(?P<format>[\w.+-]{1,40})(?:;[\w=+.\-]{1,40}){0,4};base64,", re.ASCII
)
SUFFIXES = {"quicktime": "mov", "x-matroska": "mkv", "x-msvideo": "avi", "ogg": "ogv", "mpeg": "mpg"}


class Url(BaseModel):
    """Where a part's bytes stand."""

    url: str


class Part(BaseModel):
    """One part of a message."""

    type: str
    text: str | None = None
    video_url: Url | None = None
    image_url: Url | None = None


class Message(BaseModel):
    """One message. What a system or an assistant said before is not read: a question stands for itself."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)] | None = None

    @property
    def parts(self) -> list[Part]:
        if isinstance(self.content, str):
            return [Part(type="text", text=self.content)]
        return self.content or []


class ResponseFormat(BaseModel):
    """What the answer's content is: a sentence, or the answer's JSON."""

    type: Literal["text", "json_object"] = "text"


class StreamOptions(BaseModel):
    """Nothing is counted in tokens here."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """What is read of a chat completion's body. Sampling settings have no effect: answers are deterministic."""

    model_config = ConfigDict(extra="ignore")

    model: Annotated[str, Field(min_length=1, max_length=300)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Literal[False] | None = None
    fps: Annotated[float, Field(ge=0.1, le=30)] = 1.0
    """Frames a second of a clip that is sent as pictures (not OpenAI's)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """A clip as it was sent."""

    name: str
    video: bytes | None = None
    """The file; None: pictures."""
    pictures: tuple[bytes, ...] = ()


def question_of(request: ChatRequest) -> str:
    """The text of the last user message. Raises BadBody when there is none."""
    message = next((m for m in reversed(request.messages) if m.role == "user"), None)
    texts = [part.text or "" for part in (message.parts if message else ()) if part.type == "text"]
    text = "\n".join(filter(None, texts)).strip()
    if not text:
        raise BadBody("The last user message holds no text. Write the question as a text part.")
    return text


def media_of(request: ChatRequest) -> Media:
    """The clip of the last user message that holds one. Raises BadBody for none, several, or what cannot be one."""
    for message in reversed(request.messages):
        if message.role != "user":
            continue
        urls: dict[str, list[str]] = {"video": [], "image": []}
        for part in message.parts:
            if part.type == "video_url" and part.video_url is not None:
                urls["video"].append(part.video_url.url)
            elif part.type == "image_url" and part.image_url is not None:
                urls["image"].append(part.image_url.url)
            elif part.type != "text":
                raise BadBody(
                    f"A part of type {part.type[:40]!r} cannot be read. Use text, video_url or image_url parts."
                )
        if urls["video"] or urls["image"]:
            return _media(urls["video"], urls["image"])
    raise BadBody(
        "No message holds a clip. Send a part of type video_url (or image_url parts, its frames) with a base64 data "
        "URL."
    )


def _media(videos: Sequence[str], pictures: Sequence[str]) -> Media:
    if (videos and pictures) or len(videos) > 1:
        raise BadBody("One clip at a time: send one video_url part, or image_url parts alone.")
    if videos:
        file_format, content = bytes_of_url(videos[0], "video", "`video_url.url`")
        return Media(name=f"clip.{SUFFIXES.get(file_format, file_format)}", video=content)
    if len(pictures) > MAX_PICTURES:
        raise BadBody(
            f"{len(pictures)} pictures were sent; at most {MAX_PICTURES} are read. Send a video instead."
        )
    return Media(
        name="pictures.mp4",
        pictures=tuple(bytes_of_url(url, "image", "`image_url.url`")[1] for url in pictures),
    )


def bytes_of_url(url: str, kind: str, field: str) -> tuple[str, bytes]:
    """Format and bytes of a data URL of a kind, video or image; `field` names it in errors. Raises BadBody."""
    match = _DATA_URL.match(url)
    if match is None or match["kind"] != kind:
        raise BadBody(
            f"{field} begins with {url[:40]!r}; it must be a data URL like data:{kind}/"
            f"{'mp4' if kind == 'video' else 'jpeg'};base64,… An address is not fetched."
        )
    try:
        content = base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadBody(f"{field} is no base64 ({error}). Encode the file once more.") from error
    if not content:
        raise BadBody(f"{field} holds no bytes. Send the whole file.")
    return match["format"].lower(), content
