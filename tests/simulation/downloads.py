"""Files that do not come, come cut, or are something else (D): each by its id.

Held elsewhere (the files are in `tests/engine`): D16, D17 and D39 need another file to compare
with (`test_download_faults.py`, `test_partfile.py`), D21 the addresses of real sockets
(`test_storage.py`), D28, D29, D33 and D36 two processes or a file system (`test_partfile.py`,
`kills`), D32 each wait (`cancels`), D34 and D35 the order of writes (`power`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from modelslab_async.batch._states import RowState
from modelslab_async.sandbox import Fault, Scenario

from .disk import DiskFault
from .expecting import done_in_the_storm, wants
from .named import all_done
from .network import Mishap
from .world import CALM, Outcome, Script

_ALWAYS: Mapping[str, Any] = {"times": None}


def _file(kind: str, **settings: Any) -> Fault:
    return Fault(on="download", kind=kind, **settings)  # type: ignore[arg-type]


def _served(*faults: Fault, **habits: Any) -> Scenario:
    return evolve(CALM, faults=faults, **habits)


def _states(*wanted: RowState) -> Callable[[Outcome], list[str]]:
    """Every row passed through these states, one after the other."""

    def check(outcome: Outcome) -> list[str]:
        found = []
        for row in outcome.rows:
            passed = [step.new for step in outcome.steps if step.row == row.seq]
            steps = iter(passed)
            if not all(state in steps for state in wanted):
                found.append(f"row {row.seq} went {' '.join(passed)}")
        return found

    return check


def _once(name: str, kind: str, **settings: Any) -> Script:
    """A fault of the first links that strikes a few times: the file comes in the end."""
    return Script(id=name, scenario=_served(_file(kind, times=2, **settings)), expects=all_done)


def _dead(name: str, kind: str, **settings: Any) -> Script:
    """The first link never gives the file; its mirrors do."""
    fault = _file(kind, host="primary", times=None, **settings)
    return Script(id=name, scenario=_served(fault), expects=_from_mirror)


def _from_mirror(outcome: Outcome) -> list[str]:
    asked = outcome.book.count("mirror") + outcome.book.count("storage", "/future")
    return all_done(outcome) + ([] if asked else ["no mirror was asked"])


def _followed(outcome: Outcome) -> list[str]:
    """Every file came from where the redirect said, whose query no link of ours has."""
    came = [one for one in outcome.book.requests if one.host == "mirror" and "?" in one.path]
    good = len(came) >= len(outcome.rows) and all(one.status == 200 for one in came)
    return all_done(outcome) + ([] if good else ["a redirect was not followed as spelled"])


def _integrity(*wanted: str) -> Callable[[Outcome], list[str]]:
    def check(outcome: Outcome) -> list[str]:
        found = {str(row.integrity) for row in outcome.rows}
        return all_done(outcome) + ([] if found <= {*wanted} else [f"integrity {found}"])

    return check


def _two_files_each(outcome: Outcome) -> list[str]:
    sounds = [name for name in outcome.files if name.endswith(".wav")]
    return all_done(outcome) + ([] if len(sounds) == 6 else [f"{len(sounds)} files"])


def _gets(most: float) -> Callable[[Outcome], list[str]]:
    def check(outcome: Outcome) -> list[str]:
        gets = outcome.book.count("storage") + outcome.book.count("mirror")
        return all_done(outcome) + ([] if gets <= most else [f"{gets} GETs"])

    return check


def _few_paid(outcome: Outcome) -> list[str]:
    """What is paid for while no file arrives: the first few of a batch, then one in each life."""
    paid = sum(row.state is not RowState.PLANNED for row in outcome.rows if not row.path)
    return [] if paid <= 20 + outcome.lives else [f"{paid} jobs without a file"]


_CONNECTING = tuple(
    Script(
        id=f"D01-{kind}",
        mishaps=(Mishap(on="storage", kind=kind, times=2),),
        expects=all_done,
    )
    for kind in ("refused", "nowhere", "no_files", "dropped")
)

_CUTTING = (
    *(_once(f"D02-{at}", "reset_body", at=at) for at in (0, 0.5, -1)),
    _once("D03", "stall_body"),
    _once("D04", "silent"),
    *(
        Script(
            id=f"D04-{kind}",
            mishaps=(Mishap(on="storage", kind=kind, at=9000, times=2),),
            expects=all_done,
        )
        for kind in ("silence", "fin", "rst", "half_closed")
    ),
    _once("D05", "long_length"),
    _once("D06", "short_length"),
    Script(
        id="D07",
        scenario=_served(_file("close_delimited", **_ALWAYS)),
        expects=_integrity("riff", "exact"),
    ),
    _once("D08", "close_delimited_cut"),
    _once("D09", "http10_cut"),
    Script(id="D09-whole", scenario=_served(_file("http10", **_ALWAYS)), expects=all_done),
    _once("D10", "chunked_cut"),
    Script(id="D10-whole", scenario=_served(_file("chunked", **_ALWAYS)), expects=all_done),
    _once("D11", "chunked_early_end"),
)

_OTHER_THINGS = (
    Script(
        id="D12",
        scenario=_served(_file("gzip", **_ALWAYS)),
        expects=_integrity("exact"),
    ),
    *(
        Script(
            id=f"D12-label-{label}",
            scenario=_served(
                _file("ignores_range", headers={"Content-Encoding": label}, times=None)
            ),
            expects=_integrity("exact"),
        )
        for label in ("aws-chunked", "gzip", "br")
    ),
    _dead("D12-cut", "gzip_cut"),
    *(
        _once(f"D13-{status}", "answer", status=status, body="")
        for status in (200, 204, 206, 304)
    ),
    _dead("D13-unasked", "partial_unasked"),
    *(_dead(f"D14-{kind}", kind) for kind in ("html", "xml", "json", "base64", "empty")),
    *(
        Script(id=f"D15-{wav}", scenario=_served(wav=wav), expects=all_done)
        for wav in (
            "pcm24", "float32", "extra_chunks", "odd_chunk", "size_too_big", "data_past_end",
        )
    ),
    *(
        Script(id=f"D52-{wav}", scenario=_served(wav=wav), expects=_integrity("mended"))
        for wav in (
            "extensible", "rf64", "bad_list", "streaming_size", "zero_size", "size_too_small",
        )
    ),
    *(
        Script(
            id=f"D51-{wav}",
            scenario=_served(_file("chunked", **_ALWAYS), wav=wav),
            expects=_integrity("mended"),
        )
        for wav in ("bad_list", "streaming_size", "zero_size", "size_too_small")
    ),
    Script(
        id="D51-cut",
        # Once: two transfers that end early at the same byte would vouch for each other.
        scenario=_served(_file("chunked_early_end", times=1), wav="streaming_size"),
        expects=_integrity("mended"),
    ),
    Script(
        id="D51-closed",
        scenario=_served(_file("close_delimited", host="primary", times=None), wav="zero_size"),
        expects=_from_mirror,
    ),
)  # fmt: skip

_REFUSING = (
    Script(id="D18", scenario=_served(cdn_lag_seconds=60.0, cdn_lag_on="both"), expects=all_done),
    Script(id="D18-long", scenario=_served(cdn_lag_seconds=250.0, cdn_lag_on="both")),
    *(
        Script(
            id=f"D19-{status}",
            scenario=_served(_file("answer", status=status, body="", times=None)),
            expects=_states(RowState.READY, RowState.OUTPUT_LOST),
        )
        for status in (403, 410)
    ),
    Script(id="D19-links", scenario=_served(link_seconds=1.0), expects=all_done),
    *(_once(f"D20-{status}", "answer", status=status, body="") for status in (500, 503, 522)),
    *(
        _once(f"D20-429-{hint}", "answer", status=429, body="", headers={"Retry-After": hint})
        for hint in ("1", "30", "0", "soon")
    ),
    _once("D20-429", "answer", status=429, body=""),
    *(
        _dead(f"D21-{number}", "redirect", status=302, location=location)
        for number, location in enumerate(
            (
                *(
                    None,
                    "file:///etc/passwd",
                    "{path}",
                    "http://10.0.0.1/a.wav",
                    "//foreign.test/a",
                ),
                *("https://10.0.0.1/a.wav", "https://me:you@foreign.test/a", "/" + "x" * 9000),
            )
        )
    ),
    *(
        Script(
            id=f"D48-{number}",
            scenario=_served(
                _file("redirect", status=302, location=location, times=None, host="primary")
            ),
            expects=_followed,
        )
        for number, location in enumerate(
            (
                "{mirror}{path}?sig=a%27%2fb+c|d&e=",
                "{mirror}{path}?",
                "{mirror}/gone/../.{path}?b=\u00fc d",
                "{mirror}{path}?" + "x" * 8000,
            )
        )
    ),
    Script(
        id="D22",
        scenario=_served(_file("drip", host="primary", times=None, at=1, seconds=0.3)),
        expects=_from_mirror,
    ),
    # Twice the minimum rate, of a file whose size is not named: its link gives way in time.
    Script(
        id="D49",
        scenario=_served(_file("endless", host="primary", times=None, seconds=8.0)),
        storm=900.0,
        expects=wants(_from_mirror, done_in_the_storm),
    ),
    Script(id="D23", jobs=1, scenario=_served(_file("endless")), expects=all_done),
)


def _disk(name: str, call: str, error: str, **settings: Any) -> Script:
    return Script(
        id=name,
        disk=(DiskFault(call=call, name=error, times=None, **settings),),  # type: ignore[arg-type]
        expects=all_done,
    )


_DISKS = (
    *(
        _disk(f"D24-{call}", call, "ENOSPC", short=call == "write")
        for call in ("open", "write", "fsync", "link")
    ),
    *(_disk(f"D25-{error}", "write", error) for error in ("EDQUOT", "EFBIG")),
    *(_disk(f"D25-{error}", "open", error) for error in ("EROFS", "EACCES", "ENOENT")),
    *(_disk(f"D26-{call}", call, "EIO") for call in ("write", "fsync")),
    *(_disk(f"H01-{error}", "link", error) for error in ("ENOSYS", "EPERM", "EXDEV", "EIO")),
    Script(id="D27", disk=(DiskFault(call="open", name="EMFILE", times=2),), expects=all_done),
)

_RESUMING = (
    *(
        Script(
            id=f"D30-{kind}",
            scenario=_served(_file("cut_body", times=1), _file(kind, times=2, skip=1)),
            expects=all_done,
        )
        for kind in ("ignores_range", "new_etag", "other_etag", "wrong_offset", "range_refused")
    ),
    Script(id="D30", scenario=_served(_file("cut_body", times=3)), expects=_gets(8)),
    Script(
        id="D30-byte-by-byte",
        scenario=_served(_file("chunked_cut", at=1, times=None)),
        storm=600.0,
    ),
    Script(
        id="D31",
        scenario=_served(_file("drip", at=4000, seconds=0.2, times=None)),
        expects=all_done,
    ),
    Script(
        id="D37",
        scenario=_served(output="one_dead"),
        expects=_states(RowState.READY, RowState.OUTPUT_LOST),
    ),
    Script(id="D38", scenario=_served(output="twice"), expects=_two_files_each),
    *(
        Script(
            id=f"D41-{status}",
            scenario=_served(_file("answer", status=status, times=None)),
            expects=_few_paid,
            jobs=60,
            storm=400.0,
        )
        for status in (403, 503)
    ),
    Script(
        id="D40",
        scenario=_served(_file("drip", at=4000, seconds=0.2, times=None)),
        leaps=((3.0, 86_400.0), (4.0, -86_400.0)),
        expects=all_done,
    ),
)

SCRIPTS: tuple[Script, ...] = (
    *_CONNECTING,
    *_CUTTING,
    *_OTHER_THINGS,
    *_REFUSING,
    *_DISKS,
    *_RESUMING,
)
