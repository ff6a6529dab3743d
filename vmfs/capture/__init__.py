"""A captured machine: text of /proc and /sys -> a Machine, and a host's files -> a capture.

`source.py` opens a directory or archive, each `parse_*.py` is the inverse of a view, `build.py` makes
the machine, `save.py` copies this host. The captured text is parsed once and then forgotten.
"""
