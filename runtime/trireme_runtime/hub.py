"""One request to the Hugging Face Hub, as the engine of this pod makes many: which files a model has."""

from __future__ import annotations

import http.client
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

_ENDPOINT = "https://huggingface.co"
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 1 << 20


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for the Hub, not for whom it points to."""

    def redirect_request(self, *_: Any) -> None:
        return None


def files(name: str, revision: str, variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """The files at the top of a model's repository, as ``GET /api/models/{name}/tree/{revision}`` lists them.

    With the token, the endpoint and the proxies of the environment. Raises OSError or ValueError.
    """
    endpoint = (variables.get("HF_ENDPOINT") or _ENDPOINT).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise ValueError(f"HF_ENDPOINT is {endpoint!r}; expected a URL")
    url = f"{endpoint}/api/models/{urllib.parse.quote(name)}/tree/{urllib.parse.quote(revision, safe='')}"
    token = variables.get("HF_TOKEN") or variables.get("HUGGING_FACE_HUB_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http or https, see above
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_SECONDS) as response:
            found = json.loads(response.read(_MAX_BYTES))
    except http.client.HTTPException as error:
        raise ValueError(f"the Hub's answer is no HTTP: {error!r}") from None
    if not isinstance(found, list):
        raise ValueError("the Hub's answer is no list of files")  # noqa: TRY004 - what it says is no type error
    return found
