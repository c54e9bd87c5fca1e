"""The kinds of output that a job can be asked for."""

from __future__ import annotations

from typing import Literal, TypeAlias

Output: TypeAlias = Literal["audio", "text", "video", "image", "file"]
"""``file`` is anything else: no more is known of it than that it is no page and no error."""
