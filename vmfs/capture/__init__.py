"""A captured machine: text of /proc and /sys -> a Machine, and a host's files -> a capture.

`source.py` opens a directory or archive, each `parse_*.py` is the inverse of a view, `read_snapshot.py`
puts the counts together, `build.py` makes the machine, `save.py` copies this host. The captured text is
parsed once and then forgotten.
"""

from vmfs.capture.build import load
from vmfs.capture.save import save
from vmfs.capture.text import CaptureError

__all__ = ["CaptureError", "load", "save"]
