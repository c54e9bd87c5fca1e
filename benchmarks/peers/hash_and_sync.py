"""No client: what it costs to hash and to sync the same files, which only our client does.

The bytes are written before they are measured, and nothing is fetched. URL and C mean nothing here.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from ..measuring import Meter
from ..services_jobs import Track


def main() -> None:
    count, folder = int(sys.argv[2]), Path(sys.argv[4])
    cost = {"hash": 0.0, "sync": 0.0}
    for number in range(count):
        data = Track(number).whole()
        with (folder / f"{number}.wav").open("wb", buffering=0) as file:
            file.write(data)
            meter = Meter()
            hashlib.sha256(data).hexdigest()
            cost["hash"] += meter.read()["cpu"]
            meter = Meter()
            os.fsync(file.fileno())
            cost["sync"] += meter.read()["cpu"]
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
