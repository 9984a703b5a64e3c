.PHONY: test fuzz faults endurance audit

test:  ## the daily suite
	OMP_NUM_THREADS=1 pytest -m "not slow"

fuzz:  ## five minutes a reader of files from strangers; SECONDS=30 for a short search
	mkdir -p build
	OMP_NUM_THREADS=1 MANYPOSE_FUZZ_SECONDS=$(or $(SECONDS),300) pytest tests/reliability/test_fuzz.py --basetemp=build/fuzz

faults:  ## kill -9, full disks and truncated files: the table of docs/reliability.md
	OMP_NUM_THREADS=1 python benchmarks/faults.py

endurance:  ## thousands of photos and frames: memory, handles and threads
	OMP_NUM_THREADS=1 python benchmarks/endurance.py

audit:  ## code that is unsafe with files of strangers, and dependencies with known faults
	bandit -q -c pyproject.toml -r src
	pip-audit --skip-editable
