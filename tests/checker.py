"""The type checker of the tests: beartype, where an int may stand for a float, as in Python's type hints."""

from beartype import BeartypeConf, beartype

typed = beartype(conf=BeartypeConf(is_pep484_tower=True))
