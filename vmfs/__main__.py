"""python -m vmfs"""

from vmfs.cli import main

main()
