"""What must not be shown or stored: values under keys that look secret, passwords in URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "[redacted]"
_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|(^|[_-])pass$|pwd$|secret|credential|(^|[_-])auth(orization)?($|[_-])|"
    r"(^|[_-])(api|access|account|private|master|shared|signing|encryption|ssh)[_-]?key($|[_-])|apikey|passcode|"
    r"(^|[_-])(token|tokens|jwt|bearer|cookie|cookies|session|csrf|otp|totp|pin|cvv|cvc|iban|ssn)$|[_-]token($|[_-])|"
    r"(access|auth|bearer|refresh)token$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Each part is bounded: from every place of a long text where a URL may begin, only so far is looked for its password.
_URL_PASSWORD = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]{0,200}):[^\s@]{1,300}@", re.IGNORECASE)
_BEARER = re.compile(r"\b(?P<scheme>bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_OURS = re.compile(r"\bhf[ts]_[\w-]{16,}")


def looks_secret(key: str) -> bool:
    """Whether the value under this key is nobody's business: ``password``, ``apiKey``, ``X-Auth-Token``."""
    return bool(_SECRET_KEY.search(_CAMEL.sub("_", key)))


def redacted(value: Any) -> Any:
    """The same JSON with secret-looking parts replaced by ``[redacted]``."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if looks_secret(str(key)) and _tells(part) else redacted(part) for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(part) for part in value]
    return redacted_text(value) if isinstance(value, str) else value


def restored(value: Any, before: Any) -> Any:
    """What somebody sends back who was shown ``redacted(before)``: what they left as it was shown is as it was."""
    return _restored(value, redacted(before), before)


def _restored(value: Any, shown: Any, before: Any) -> Any:
    if value == shown:
        return before
    if isinstance(value, Mapping) and isinstance(before, Mapping) and isinstance(shown, Mapping):
        return {key: _restored(part, shown[key], before[key]) if key in before else part for key, part in value.items()}
    if isinstance(value, list) and isinstance(before, list | tuple) and len(value) == len(before):
        return [_restored(*parts) for parts in zip(value, shown, before, strict=True)]
    return value


def hides(value: Any) -> str | None:
    """The first key that looks secret and has ``[redacted]`` for a value: nobody means that."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            found = str(key) if part == HIDDEN and looks_secret(str(key)) else hides(part)
            if found is not None:
                return found
    if isinstance(value, list | tuple):
        return next((found for part in value if (found := hides(part)) is not None), None)
    return None


def redacted_text(text: str) -> str:
    """The same text without passwords in URLs, bearer tokens and tokens of ours."""
    if "://" in text and "@" in text:
        text = _URL_PASSWORD.sub(r"\g<before>:***@", text)
    text = _BEARER.sub(rf"\g<scheme> {HIDDEN}", text)
    return _OURS.sub(HIDDEN, text)


def _tells(value: Any) -> bool:
    return value is not None and value != "" and not isinstance(value, bool)
