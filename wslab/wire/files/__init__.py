"""Recordings as files: save, load, convert. The one place in `wslab.wire` that does I/O.

===========  ==============================================  ====  ====
suffix       for                                             save  load
===========  ==============================================  ====  ====
``.jsonl``   JSON Lines: programs, and keeping everything     yes   yes
``.har``     HAR 1.2: browsers' developer tools               yes   yes
``.pcapng``  Wireshark                                        yes   no
===========  ==============================================  ====  ====
"""

from __future__ import annotations

from wslab.wire.files.recording import Recording
from wslab.wire.files.store import check_target, load, save

__all__ = ["Recording", "check_target", "load", "save"]
