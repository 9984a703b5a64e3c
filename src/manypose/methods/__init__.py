"""The five systems, one folder a paper; `method` is their contract, `catalog` the named models."""
