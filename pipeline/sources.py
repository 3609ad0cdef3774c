"""What the rows of a manifest name: held to the job's rules, then read."""

from __future__ import annotations

import http.client

from pipeline.errors import RowError
from pipeline.fetching import fetch
from pipeline.storage import read_uri
from pipeline.uri_rules import UriRules
from pipeline.uris import HTTP_SCHEMES, complaint, shown


def read_source(uri: str, max_bytes: int, rules: UriRules) -> bytes:
    """Raises RowError: `uri_scheme_not_allowed`, `uri_prefix_not_allowed`, `uri_address_not_allowed`,
    `uri_not_found`, `uri_unreachable`, `uri_too_large`.
    """
    if rules.check(uri) not in HTTP_SCHEMES:
        return read_uri(uri, max_bytes)
    # without its cause: it may repeat a signed link
    try:
        data = fetch(uri, max_bytes + 1, rules)
    except RowError as error:
        raise RowError(error.code, f"{shown(uri)}: {error.message}") from None
    except FileNotFoundError as error:
        raise RowError("uri_not_found", complaint(uri, error, "check the name")) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        refused = isinstance(error, PermissionError)
        advice = "check credentials and permissions" if refused else "see that it can be reached, run again"
        raise RowError("uri_unreachable", complaint(uri, error, advice)) from None
    if len(data) > max_bytes:
        raise RowError("uri_too_large", f"{shown(uri)}: more than {max_bytes} bytes; use a smaller file")
    return data
