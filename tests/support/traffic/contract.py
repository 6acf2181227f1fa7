"""The responses that the OpenAPI document of a running service lists for each operation."""

import re
from dataclasses import dataclass
from typing import Any

import httpx

# The format of codes in descriptions of responses.
_CODE = re.compile(r"`([a-z_]+)`: ")
_PROBLEM = "application/problem+json"
_INTERNAL = "internal"


@dataclass(frozen=True)
class ListedResponse:
    """The codes of the problems with one status, and the names of its headers in lower case."""

    codes: set[str]
    headers: set[str]


@dataclass(frozen=True)
class Contract:
    """The listed responses of each operation, such as `POST /predict`, by status."""

    responses: dict[str, dict[int, ListedResponse]]

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Contract":
        """The contract that an OpenAPI document states."""
        return cls(
            {
                f"{method.upper()} {path}": {
                    int(status): ListedResponse(
                        codes=set(_CODE.findall(response["description"])),
                        headers={name.lower() for name in response.get("headers", {})},
                    )
                    for status, response in operation["responses"].items()
                }
                for path, methods in document["paths"].items()
                for method, operation in methods.items()
            }
        )

    def breach(self, operation: str, response: httpx.Response) -> str | None:
        """How the response breaks the contract; None if it keeps it. An error `internal` always breaks it."""
        listed = self.responses[operation].get(response.status_code)
        if listed is None:
            return f"status {response.status_code} is not documented"
        if missing := listed.headers - set(response.headers):
            return f"status {response.status_code} without {sorted(missing)}"
        if not response.is_error:
            return None
        code = problem_code(response)
        # Health has no problem document: the body states what is not ready.
        if code not in (listed.codes or {""}):
            return f"status {response.status_code} with the code {code!r} is not documented"
        return "an internal error" if code == _INTERNAL else None


def problem_code(response: httpx.Response) -> str:
    """The code of a problem document; empty if the response is none."""
    if not response.headers.get("content-type", "").startswith(_PROBLEM):
        return ""
    return str(response.json().get("code", ""))


def outcome(response: httpx.Response) -> str:
    """The status of a response and the code of its problem, such as `200` or `429 busy`."""
    return f"{response.status_code} {problem_code(response)}".strip()
