"""What a container of AWS Batch runs: ``python -m holdfast.worker.executors.container s3://bucket/…/call.json``.

It reads the call, runs the handler, and puts the reply beside the call. Exit status 0: the handler returned; 1: it
raised, and the reply says what. A result that is too large for the outcome stays in S3, and the reply names it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import boto3

from holdfast.worker.executors.engine_side import run_call

_LARGEST = 1_000_000_000


def main(arguments: Sequence[str]) -> int:
    """Entry of the container; returns the exit status."""
    (place,) = arguments
    bucket, _, key = place.removeprefix("s3://").partition("/")
    folder = key.rpartition("/")[0]
    s3: Any = boto3.client("s3")
    message: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    most = int(message["result_max_bytes"])
    reply: Mapping[str, Any] = run_call({**message, "result_max_bytes": _LARGEST})
    text = reply.get("result")
    if text is not None and len(text) > most:
        s3.put_object(Bucket=bucket, Key=f"{folder}/result.json", Body=text.encode())
        reply = {"kind": "reference", "reference": f"s3://{bucket}/{folder}/result.json", "bytes": len(text)}
    s3.put_object(Bucket=bucket, Key=f"{folder}/reply.json", Body=json.dumps(reply).encode())
    return 1 if reply["kind"] == "raised" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
