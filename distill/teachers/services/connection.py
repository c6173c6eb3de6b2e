"""The line to a service: address, token, retries, pauses, and what is said when it fails.

A temporary failure (HTTP 408, 409, 425, 429 and 5xx, timeouts, dropped connections) is asked again with growing pauses, and
stops the run when it persists; an answer that is always cut off is an unusable one. Where a service says with `Retry-After`
how long to wait (429 and 503), every request waits so long, and the waiting does not count as a failure. We write this loop by
hand, because urllib3's waits in one thread only and without a word.
"""

import json
import logging
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_plus, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from distill.common.errors import InputError
from distill.teachers.services.pace import Pace, seconds_to_wait

LOGGER = logging.getLogger("prompter")

EXAMPLES = {"teacher": "http://host:8080/predict", "writer": "http://host:8000/v1"}
"""What a service can be, and an address of each, for messages. Each has a token of its own."""

# A server answers with one of these where it refuses some texts but may accept others.
REFUSALS = {400, 413, 422, 424}

TEMPORARY = {408, 409, 425, 429}
"""Statuses below 500 that another request may change: too slow, in conflict with another one, too early, too many."""

LONGEST_ANSWER = 64 * 2**20
"""Most bytes that are read of one answer. 32 texts and 10,000 classes need about 20 MiB."""

LONGEST_WAIT = 900.0
"""Most seconds that one request waits because the service asks for it."""

SHORTEST_NOTED = 2.0
"""Pauses of this many seconds are said."""

SHORTEST_SECRET = 4
"""A value in the query of an address that is shorter than this is no key, and may stand in messages."""

HTTP_REMEDIES = {
    401: "set the environment variable {token} to the service's token",
    403: "set the environment variable {token} to a token that may use the service",
    404: "give the full address, such as {example}",
    405: "give the address that takes POST requests, such as {example}",
    501: "give the address that takes POST requests, such as {example}",
}

AGAIN = "start again (a begun run: with --resume)"


@dataclass(frozen=True)
class Reply:
    """What a service replied to one request.

    Attributes:
        status: The status of HTTP.
        body: The content, b"" where it was cut off.
        problem: Why there is no content although the status is 200, or "". Asking again would not help.
        location: Where a redirect leads to, or "".
    """

    status: int
    body: bytes
    problem: str = ""
    location: str = ""


class Connection:
    """Requests to one service.

    The environment variable PROMPTER_TEACHER_TOKEN (of a writer: PROMPTER_WRITER_TOKEN) may hold a bearer token. It is sent
    to the given address only: redirects are not followed. PROMPTER_TEACHER_HOST (PROMPTER_WRITER_HOST) names the host that the
    token belongs to; other hosts do not get it.

    Args:
        address: Address that takes the requests.
        concurrency: Requests at the same time.
        timeout: Seconds to wait for an answer, or for the next part of it.
        retries: How often a request is sent again after a temporary failure.
        backoff: Seconds of the pause before the second retry (the first has none). The pause doubles each time, and at most
            `backoff` is added at random.
        rate: Most requests per second; 0 for no limit.
        send_token: Send what the user's environment and `.netrc` hold for the service. Off where a file named the address.
        role: What the service is, `teacher` or `writer`: which token it gets, and how messages begin.

    Attributes:
        path: The address without its query, for messages.

    Raises:
        InputError: The address holds credentials or has no host, or a header cannot hold the token.
    """

    def __init__(
        self,
        address: str,
        *,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 0.5,
        rate: float = 0.0,
        send_token: bool = True,
        role: str = "teacher",
    ) -> None:
        self.role = role
        self.path = _checked_address(address, role)
        self._address = address
        self.token = _token(role) if send_token and _token_belongs_to(address, role) else ""
        self.pace = Pace(rate)
        self._timeout = (min(10.0, timeout), timeout)  # to connect, to answer
        self._retries = retries
        self._backoff = backoff
        self._session = _session(self.token, send_token, concurrency)
        self._secrets = _secrets(address, self.token)

    def get(self, relative: str) -> Any:
        """Return the JSON at an address relative to the service's, or None where the service has none there.

        What it says decides which stored answers count, so a failure that passes must not look as if it said nothing.

        Raises:
            InputError: As `post`; but a service that keeps answering HTTP 500 here may work elsewhere, and has none.
        """
        self.pace.start()
        address = urljoin(self.path, relative)
        reply = self._replied(lambda: self._session.get(address, **self._sending), address, settled=500)
        if reply.status == 500:
            LOGGER.warning(
                "%s: %s keeps answering HTTP 500, so which model answers is not known and not checked.", self.role, address
            )
        try:
            return json.loads(reply.body) if reply.status == 200 else None
        except (ValueError, RecursionError):
            return None

    def post(self, payload: Any) -> Reply:
        """Send one request until the service replies with anything but a temporary failure.

        Raises:
            InputError: The service cannot be reached, keeps failing, or asks to wait too long.
            StoppedError: The pace was stopped.
        """
        return self._replied(lambda: self._session.post(self._address, json=payload, **self._sending), self.path)

    def _replied(self, send: Callable[[], requests.Response], path: str, settled: int = 0) -> Reply:
        """Send a request to `path` until the reply is no temporary failure, or to the end cut off or of the status `settled`.

        Raises:
            InputError: See `post`.
            StoppedError: The pace was stopped.
        """
        failures, waited = 0, 0.0
        while True:
            self.pace.wait()
            reply, pause, failure = self._try(send)
            if reply is not None and not failure:
                return reply
            if pause:
                waited += pause
                self._check_wait(pause, waited, failure)
                if self.pace.hold(pause) and pause >= SHORTEST_NOTED:
                    LOGGER.warning("%s: %s asks to wait %.0f s (%s).", self.role, path, pause, failure)
                continue
            failures += 1
            if failures > self._retries:
                if reply is not None and (reply.problem or reply.status == settled):
                    return reply
                times = f"{failures} times in a row"
                if failure.startswith("HTTP "):
                    raise InputError(
                        f"{self.role}: {path} answered {failure} {times}; wait until the service works again, then {AGAIN}."
                    )
                raise InputError(
                    f"{self.role}: {path} cannot be reached ({failure}), {times}; check the address and that the service "
                    f"runs, then {AGAIN}."
                )
            if failures > 1:
                self.pace.sleep(self._backoff * (2 ** (failures - 2) + random.random()))  # noqa: S311 (only a pause)

    def refuse(self, reply: Reply) -> None:
        """Refuse a reply that another request would not change.

        Raises:
            InputError: Always.
        """
        token, host = _variables(self.role)
        remedy = HTTP_REMEDIES.get(reply.status, "check the address").format(token=token, example=EXAMPLES[self.role])
        if reply.status in (401, 403) and not self.token and os.environ.get(token):
            remedy = (
                f"{token} was not sent, as {host} names another host, or you did not name this address: "
                f"give --{self.role} yourself"
            )
        if reply.location:
            location = self.quoted(reply.location.partition("?")[0])  # it may carry on the query, and with it a key
            remedy = f"it redirects to {location}, which is not followed; give the final address"
        raise InputError(f"{self.role}: {self.path} answered HTTP {reply.status}{self.quoted(reply.body, ': ')}; {remedy}.")

    def quoted(self, said: str | bytes, before: str = "") -> str:
        """Return what a server said: short, on one line, and without the token and the query of the address."""
        text = said[:100_000].decode("utf-8", "replace") if isinstance(said, bytes) else said[:100_000]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = " ".join(text.split())
        return f"{before}{text[:200]}" if text else ""

    @property
    def _sending(self) -> dict[str, Any]:
        """How requests are sent, whichever they are."""
        return {"timeout": self._timeout, "allow_redirects": False, "stream": True}

    def _try(self, send: Callable[[], requests.Response]) -> tuple[Reply | None, float, str]:
        """Send one request once.

        Returns:
            The reply, or None where there is none; the seconds that the service asks to wait; and what failed for now, or "".

        Raises:
            InputError: The libraries cannot read the address, or do not trust the service's certificate.
        """
        try:
            response = send()
        except requests.exceptions.InvalidURL as error:
            raise self._unreadable(error) from error
        except (requests.RequestException, HTTPError) as error:  # requests lets some errors of urllib3 pass
            reason = getattr(error.args[0], "reason", error) if error.args else error  # the library's text has the address
            if "CERTIFICATE_VERIFY_FAILED" in str(reason):
                raise self._not_trusted(reason) from error
            return None, 0.0, self.quoted(str(reason))
        body, problem, cut = b"", "", ""
        with response:
            try:
                body = self._body(response)
            except _TooLongError as error:
                problem = str(error)
            except (requests.RequestException, HTTPError):
                problem = cut = "an answer that is cut off or not JSON"
        status = response.status_code
        if status in TEMPORARY or (status >= 500 and status != 501):  # 501: it never takes such requests
            pause = seconds_to_wait(response.headers.get("Retry-After")) if status in (429, 503) else None
            return Reply(status, body), pause or 0.0, f"HTTP {status}{self.quoted(body, ': ')}"
        location = response.headers["Location"] if response.is_redirect else ""
        return Reply(status, body, problem, location), 0.0, cut if status == 200 else ""

    def _body(self, response: requests.Response) -> bytes:
        """Read an answer within limits of size and time.

        Raises:
            requests.RequestException: It was cut off, is too long, or comes too slowly.
        """
        parts: list[bytes] = []
        size, deadline = 0, time.monotonic() + 4 * self._timeout[1]
        for part in response.iter_content(2**16):
            parts.append(part)
            size += len(part)
            if size > LONGEST_ANSWER:
                raise _TooLongError(f"an answer of more than {LONGEST_ANSWER / 2**20:g} MiB")
            if time.monotonic() > deadline:
                raise requests.ReadTimeout
        return b"".join(parts)

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(
            f"{self.role}: {self.path} is no address ({self.quoted(str(error))}); expected {EXAMPLES[self.role]}."
        )

    def _not_trusted(self, reason: Any) -> InputError:
        return InputError(
            f"{self.role}: {self.path} is not asked, because its certificate is not trusted ({self.quoted(str(reason))}): if "
            "an authority of your own signs it, set the environment variable REQUESTS_CA_BUNDLE to the file of that one's "
            "certificate."
        )

    def _check_wait(self, pause: float, waited: float, failure: str) -> None:
        if pause > LONGEST_WAIT:
            raise InputError(f"{self.role}: {self.path} asks to wait {pause:,.0f} seconds ({failure}); wait, then {AGAIN}.")
        if waited > LONGEST_WAIT:
            raise InputError(
                f"{self.role}: {self.path} asked to wait {waited:,.0f} seconds in all for one request ({failure}); send fewer "
                f"requests ({'--teacher_rate' if self.role == 'teacher' else '--writer_batch_size'}), then {AGAIN}."
            )


class _TooLongError(requests.RequestException):
    """An answer is longer than what is read."""


def _variables(role: str) -> tuple[str, str]:
    """Return the environment variables that hold a service's token, and the host that the token belongs to."""
    return f"PROMPTER_{role.upper()}_TOKEN", f"PROMPTER_{role.upper()}_HOST"


def _checked_address(url: str, role: str) -> str:
    """Return the address without its query, for messages.

    Raises:
        InputError: There is no host, or none that can be; the port is not a number; or there are credentials, which would get
            into logs and files.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # as the libraries do it, which say less
    except ValueError:  # that of a part of a name that is empty or too long, too
        host = None
    if not host:
        raise InputError(
            f"{role}: the URL has no host, or none that can be, or its port is not a number; expected {EXAMPLES[role]}."
        )
    if "@" in parts.netloc:
        raise InputError(
            f"{role}: the URL of {host} holds a user name or password; leave them out and set the environment variable "
            f"{_variables(role)[0]} to the service's bearer token."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _secrets(address: str, token: str) -> list[str]:
    """Return what messages must not show: the token, the query of the address, and what its parts say; the longest first.

    Examples:
        >>> _secrets("http://host/predict?key=s%2Bcret&v=1", "")
        ['key=s%2Bcret&v=1', 'key=s+cret&v=1', 'key=s%2Bcret', 'key=s+cret', 's%2Bcret', 's+cret', 'v=1']
    """
    query = urlsplit(address).query
    pairs = query.split("&")
    parts = [part for part in (query, *pairs) if "=" in part] + [pair.partition("=")[2] or pair for pair in pairs]
    said = [*filter(None, [token]), *(part for part in parts if "=" in part or len(part) >= SHORTEST_SECRET)]
    # Servers and libraries write them decoded, or encoded in another way.
    forms = {form for part in said for form in (part, unquote_plus(part), quote(part, safe="=&%"))}
    return sorted(forms, key=lambda form: (-len(form), form))


def _token(role: str) -> str:
    """Return the bearer token, "" where none is set.

    Raises:
        InputError: A header cannot hold the token. The libraries' own error would show it.
    """
    variable, _ = _variables(role)
    token = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise InputError(f"{variable}: holds spaces, line breaks or letters beyond ASCII; set it to the token alone.")
    return token


def _token_belongs_to(url: str, role: str = "teacher") -> bool:
    """Return whether the token may be sent to an address.

    Examples:
        >>> os.environ["PROMPTER_TEACHER_HOST"] = "models.example:8080"
        >>> _token_belongs_to("https://models.example:8080/predict"), _token_belongs_to("https://models.example/predict")
        (True, False)
        >>> del os.environ["PROMPTER_TEACHER_HOST"]

    Raises:
        InputError: The variable is not HOST, HOST:PORT or https://HOST.
    """
    _, variable = _variables(role)
    said = os.environ.get(variable, "").strip()
    if not said:
        return True
    try:
        host, address = urlsplit(said if "://" in said else f"//{said}"), urlsplit(url)
        wanted = (host.scheme or address.scheme, host.hostname, host.port)
    except ValueError:
        wanted = ("", None, None)
    if not wanted[1] or host.path.strip("/") or "@" in host.netloc:
        raise InputError(f"{variable}: expected the host that the token belongs to, such as models.example:8080.")
    return wanted == (address.scheme, address.hostname, address.port)


def _session(token: str, send_own: bool, concurrency: int) -> requests.Session:
    """Return a session that sends the token, and nothing of the user's where it must not."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=concurrency))
    if token or not send_own:

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if token:
                request.headers["Authorization"] = f"Bearer {token}"
            return request

        session.auth = authorize  # without it, an entry of the user's .netrc would be sent
    return session
