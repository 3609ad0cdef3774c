"""Secrets out of logs: at DEBUG, botocore writes session tokens and signatures, aiohttp whole links.

Works on every record of the process as it is made, so that no handler, ours or Ray's, sees the secret.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Callable
from typing import Any

_MASK = "***"
_SECRET_VARIABLES = re.compile(r"(SECRET|TOKEN|PASSWORD|API_KEY)", re.IGNORECASE)
_SHORTEST_VALUE = 8  # a shorter value of a variable is found in innocent words
_PATTERNS = [
    # headers, as text, as a dictionary's repr, with bytes in it
    (
        re.compile(
            r"""(?ix) \b
            ( (?:proxy-)?authorization | x-amz-security-token | x-goog-api-key | (?:set-)?cookie )
            (['"]? \s* [:=] \s* b?)  (?: '[^']*' | "[^"]*" | [^\s'"][^\r\n'"]* )"""
        ),
        rf"\1\2{_MASK}",
    ),
    # queries of signed links: of S3, GCS and Azure, and what others call their keys
    (
        re.compile(
            r"(?i)([?&](?:x-(?:amz|goog)-(?:signature|credential|security-token)|awsaccesskeyid|signature|sig"
            r"|se|sv|token|access_token|api_?key|key|password)=)[^&\s'\"<>)]+"
        ),
        rf"\1{_MASK}",
    ),
    (re.compile(r"(\w://)[^/\s'\"<>@]+@"), r"\1"),
]


def redacted(text: str) -> str:
    """The text without what is known to be secret: values of this process's environment, credentials in
    headers, signed queries and URLs."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_VALUE and _SECRET_VARIABLES.search(name):
            text = text.replace(value, _MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class _RedactingFactory:
    """Makes records whose message and traceback are redacted, by way of the factory that was there before."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        try:
            record.msg, record.args = redacted(record.getMessage()), ()
        except (TypeError, ValueError, KeyError):
            return record  # arguments that do not fit: logging itself reports such a call
        if record.exc_info and record.exc_info[1] is not None:
            # formatters take this text instead of making their own
            record.exc_text = redacted("".join(traceback.format_exception(record.exc_info[1])).rstrip())
        return record


def keep_secrets_out_of_logs() -> None:
    """For the whole process; more than once is once."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, _RedactingFactory):
        logging.setLogRecordFactory(_RedactingFactory(make))
