"""Records a real kernel in a virtual machine; see docs/recording.md.

`guest/` is what runs inside: an init script, a static program in C and its tables. The rest runs outside.
"""
