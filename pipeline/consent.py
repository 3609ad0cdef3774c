"""Whose voice may be used: a row's consent id, and the list of those that were withdrawn.

voicemill does not know what an id stands for; it sees that every row has one where the job asks for it,
and that none is on the list, each time a run starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError, RowError
from pipeline.manifest_columns import Fault
from pipeline.records import Row
from pipeline.sources import read_source
from pipeline.uri_rules import UriRules
from pipeline.uris import has_secrets, shown

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_MAX_LIST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ConsentRules:
    """`revoked` holds ids as `same_id` makes them comparable."""

    required: bool = False
    revoked: frozenset[str] = frozenset()

    def fault(self, consent_id: str | None) -> Fault | None:
        """`consent_missing`, `bad_consent_id` or `consent_revoked`; None for a row that may be spoken."""
        if not self.required and not self.revoked:
            return None
        if consent_id is None or not consent_id.strip():
            if not self.required:
                return None
            return Fault("consent_missing", "no consent_id, which this job requires (consent.required)")
        if not _ID.fullmatch(consent_id.strip()):
            rule = "use 1 to 128 of A-Z a-z 0-9 . _ : / -, starting with a letter or digit"
            return Fault("bad_consent_id", f"consent_id cannot be looked up; {rule}")
        if same_id(consent_id) in self.revoked:
            return Fault("consent_revoked", f"consent {consent_id.strip()} was withdrawn; drop the row")
        return None

    def check(self, row: Row) -> Row:
        """The row itself. Raises RowError as `fault` says."""
        fault = self.fault(row["consent_id"])
        if fault is not None:
            raise RowError(fault.code, fault.message)
        return row


def same_id(consent_id: str) -> str:
    """Ids that differ in case or in blanks around them are one: of two readings the one that refuses."""
    return consent_id.strip().lower()


def load_consent(required: bool, revoked_uri: str | None) -> ConsentRules:
    """The rules of a job, its list read anew. Nothing may start without a list that was asked for.

    Raises ConfigError where it cannot be read, or is not a list of ids.
    """
    if revoked_uri is None:
        return ConsentRules(required)
    if has_secrets(revoked_uri):
        raise ConfigError(
            f"consent.revoked: {shown(revoked_uri)} has a password or a query, and settings are written into "
            "run.json; name a file that needs none, or an object store with its usual credentials"
        )
    try:
        # the job's own setting, not a manifest's: it may lie on an internal server
        data = read_source(revoked_uri, _MAX_LIST_BYTES, UriRules(allow_private_addresses=True))
    except RowError as error:
        raise ConfigError(f"consent.revoked cannot be read, so nothing is spoken: {error.message}") from None
    return ConsentRules(required, read_revoked(data, revoked_uri))


def read_revoked(data: bytes, name: str) -> frozenset[str]:
    """One id a line; blank lines and what follows `#` are left out.

    Raises ConfigError for a line that is no id: a page that says "log in" must not pass for an empty list.
    """
    try:
        lines: Sequence[str] = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"consent.revoked: {name} is not UTF-8 text") from None
    found = set()
    for number, line in enumerate(lines, start=1):
        entry = line.partition("#")[0].strip()
        if entry and not _ID.fullmatch(entry):
            raise ConfigError(f"consent.revoked: {name}, line {number} is no consent id; write one a line")
        if entry:
            found.add(same_id(entry))
    return frozenset(found)
