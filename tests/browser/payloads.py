"""What an attacker writes into every field that is stored: if any of it runs, it calls ``pwned`` or breaks the policy.

Kept short on purpose: each is another way into a page, none is a variation of another.
"""

from __future__ import annotations

PAYLOADS = (
    # HTML where text is expected.
    "<script>pwned('script')</script>",
    "<img src=x onerror=pwned('img')>",
    "<svg/onload=pwned('svg')>",
    "<iframe srcdoc=\"<script>parent.pwned('iframe')</script>\"></iframe>",
    "<details open ontoggle=pwned('details')>x</details>",
    # Out of an attribute, a text area, a comment, a JSON island.
    "\"'><img src=x onerror=pwned('attribute')>",
    "</textarea></title></script><script>pwned('closing')</script>",
    "--><svg onload=pwned('comment')>",
    # Where a value becomes an address.
    "javascript:pwned('address')",
    "data:text/html,<script>opener.pwned('data')</script>",
    "//evil.invalid/x",
    # Templates and formats that some library may interpret.
    "{{constructor.constructor('pwned(1)')()}}${pwned(2)}",
    "[x](javascript:pwned('markdown'))",
    # Text that hides or reorders what is beside it, and text that breaks terminals.
    "\u202egnp.exe\u200b\u0007\u001b[31mred",
)
EVERYTHING = " ".join(PAYLOADS)
