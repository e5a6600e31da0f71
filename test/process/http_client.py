# SPDX-License-Identifier: Apache-2.0
"""HTTP as the tests speak it: one persistent connection, no retry of any request, JSON read strictly."""
import http.client
import json
from typing import Any, Mapping, NamedTuple, Optional, Union


class NoAnswer(OSError):
    """The connection broke or timed out: the request may have been carried out or not."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """A client of one node. Not for use by several threads at once: each takes its own."""

    def __init__(self, host: str, port: int, timeout: float = 10.0):
        self.host, self.port, self.timeout = host, port, timeout
        self._connection: Optional[http.client.HTTPConnection] = None

    def __call__(self, method: str, path: str, body: Union[bytes, str, dict, list, None] = None,
                 headers: Optional[Mapping[str, str]] = None) -> Answer:
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            response = self._connection.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(f"{method} {path} to {self.host}:{self.port}: {error!r}") from error
        if response.will_close:
            self.close()
        return answer

    def get(self, path: str) -> Answer:
        return self("GET", path)

    def post(self, path: str, body: Union[bytes, str, dict, list, None] = None, **headers: str) -> Answer:
        return self("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
