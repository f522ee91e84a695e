"""A request that brings a file: read piece by piece into a temporary file, never further than files may be large."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from typing import IO, ClassVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.json_body import DRAINED_BYTES
from app.api.route import ApiRoute, StrictRequest
from app.api.services.identity import fingerprint_of
from app.errors import InvalidRequest
from app.files.store import FileTooLarge

FIELD = b"file"
MAX_PARTS = 20
FORM_BYTES = 64 * 1024
"""What the form may have besides the file."""
_IN_MEMORY_BYTES = 1024 * 1024
_FORM = b"multipart/form-data"


@dataclass
class Upload:
    """A file that somebody has sent."""

    content: IO[bytes]
    name: str = ""
    """As the sender calls it."""
    content_type: str = ""
    """As the sender says."""
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0

    def write(self, data: bytes) -> None:
        """Take the next piece."""
        self.content.write(data)
        self.digest.update(data)
        self.size += len(data)


class _FormReader:
    """Takes the field `file` out of a form. Everything else in it is passed over."""

    def __init__(self, boundary: bytes, upload: Upload) -> None:
        self._upload = upload
        self._parts = 0
        self._is_found = False
        self._is_file = False
        self._has_ended = False
        self._header, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._read_header,
                "on_header_value": self._read_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._decide,
                "on_part_data": self._read_data,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest("The body is not a valid multipart/form-data") from error

    def finish(self) -> None:
        if not self._has_ended:
            raise InvalidRequest("The body ends in the middle of the form")
        if not self._is_found:
            raise InvalidRequest("The form has no field `file` with a file name")

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} parts")
        self._headers = {}

    def _read_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _decide(self) -> None:
        given = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(given)
        self._is_file = options.get(b"name") == FIELD and b"filename" in options
        if not self._is_file:
            return
        if self._is_found:
            raise InvalidRequest("The form has more than one field `file`")
        self._is_found = True
        self._upload.name = options[b"filename"].decode(errors="replace")
        self._upload.content_type = self._headers.get(b"content-type", b"").decode("latin-1")

    def _end(self) -> None:
        self._has_ended = True

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._upload.write(data[start:end])


class UploadRequest(StrictRequest):
    """A request whose body is a form with the field `file`, or, with a name in the query, the file itself."""

    reads_body: ClassVar[bool] = True
    _upload: Upload | None = None

    @property
    def upload(self) -> Upload:
        """Return the file."""
        assert self._upload is not None
        return self._upload

    async def read(self) -> None:
        """Read the body.

        Raises:
            FileTooLarge: The file is larger than files may be.
            InvalidRequest: There is no file in it.
        """
        limit = self.app.state.resources.files.limits.file_bytes
        self._upload = Upload(tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115 - `release` closes it
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit + FORM_BYTES + DRAINED_BYTES:
            raise _too_large(limit)
        content_type, options = parse_options_header(self.headers.get("content-type", ""))
        if content_type == _FORM:
            await self._read_form(options.get(b"boundary", b""), self._upload, limit)
        else:
            await self._read_raw(content_type.decode("latin-1"), self._upload, limit)

    async def fingerprint(self) -> str:
        """Return what a repeat of this request has in common with it."""
        upload = self.upload
        given = [upload.name, upload.content_type, upload.digest.hexdigest()]
        return fingerprint_of({"call": [self.method, self.url.path, self.url.query], "file": given})

    def release(self) -> None:
        """Let go of the file."""
        if self._upload is not None:
            self._upload.content.close()

    async def _read_form(self, boundary: bytes, upload: Upload, limit: int) -> None:
        if not boundary:
            raise InvalidRequest("The form has no boundary")
        try:
            reader = _FormReader(boundary, upload)
        except FormParserError as error:
            raise InvalidRequest("The boundary of the form is too long") from error
        received = 0
        async for chunk in self.stream():
            received += len(chunk)
            if received <= limit + FORM_BYTES and upload.size <= limit:
                reader.feed(chunk)
            elif received > limit + FORM_BYTES + DRAINED_BYTES:
                break
        if received > limit + FORM_BYTES or upload.size > limit:
            raise _too_large(limit)
        reader.finish()

    async def _read_raw(self, content_type: str, upload: Upload, limit: int) -> None:
        upload.name = self.query_params.get("name", "")
        upload.content_type = content_type
        if not upload.name:
            raise InvalidRequest("Send a form with the field `file`, or the file itself and ?name=")
        received = 0
        async for chunk in self.stream():
            received += len(chunk)
            if received <= limit:
                upload.write(chunk)
            elif received > limit + DRAINED_BYTES:
                break
        if received > limit:
            raise _too_large(limit)


class UploadRoute(ApiRoute):
    """A route that takes a file."""

    request_class = UploadRequest


def _too_large(limit: int) -> FileTooLarge:
    return FileTooLarge(f"A file may have {limit // 1024 // 1024} MB at most")
