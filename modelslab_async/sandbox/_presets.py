"""The named scenarios."""

from __future__ import annotations

from ._fault import Fault
from ._scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    # The documented API.
    "clean": Scenario(),
    # Jobs take half a minute, and their estimate is too short.
    "slow": Scenario(generation_seconds=(20.0, 40.0), eta_factor=0.5),
    # Jobs of other clients fill the account's queue for a while.
    "busy": Scenario(taken_slots=15, taken_seconds=5.0, retry_after=1),
    # Polls and downloads fail now and then, in different ways; nothing is lost.
    "flaky": Scenario(
        generation_seconds=(0.5, 2.0),
        try_again=1,
        faults=(
            Fault(on="fetch", kind="edge", status=502, times=None, probability=0.1),
            Fault(on="fetch", kind="runtime", status=503, times=None, probability=0.1),
            Fault(on="fetch", kind="reset", times=None, probability=0.1),
            Fault(on="download", kind="reset_body", times=None, probability=0.15),
            Fault(on="download", kind="chunked_early_end", times=None, probability=0.1),
            Fault(on="download", kind="html", times=None, probability=0.1),
            Fault(on="download", kind="edge", status=503, times=None, probability=0.1),
        ),
    ),
    # One submit in ten is accepted and charged, but its response is lost.
    "ambiguous": Scenario(
        fetch_meta=True,
        faults=(Fault(on="submit", kind="reset", times=None, probability=0.1),),
    ),
    # Valid but rare shapes: old spellings, text instead of lists, missing fields, a late list.
    "messy": Scenario(
        eta="float",
        id="string",
        spelling="messege",
        tip="tips",
        output="empty_then_list",
        status="queued",
        validation="object",
        error_status="always200",
        queue_full="text429",
        proxy_links="null",
        mirror_differs=True,
        seed_above_2_31=True,
        wav="bad_list",
    ),
    # The file is missing for a while after the job has finished.
    "cdn-lag": Scenario(cdn_lag_seconds=5.0),
}
"""The scenarios that have a name."""
