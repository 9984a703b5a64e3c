"""``python -m synthetic_people drawn|rendered --out DIR --length N``: a COCO data set of drawn or rendered people."""

from pathlib import Path

from jsonargparse import ArgumentParser

from synthetic_people.coco_files import write_coco
from synthetic_people.drawn.scenes import SyntheticPeople
from synthetic_people.rendered.scenes import RenderedPeople

KINDS = {"drawn": SyntheticPeople, "rendered": RenderedPeople}


def main() -> None:
    """Write the scenes that the command line asks for."""
    parser = ArgumentParser(prog="python -m synthetic_people", description=__doc__)
    kinds = parser.add_subcommands()
    for name, kind in KINDS.items():
        one = ArgumentParser(description=kind.__doc__.splitlines()[0] if kind.__doc__ else None)
        one.add_argument("--out", type=Path, required=True, help="folder of the data set")
        one.add_class_arguments(kind)
        kinds.add_subcommand(name, one)
    given = parser.parse_args().as_dict()
    options = given[given["subcommand"]]
    out = options.pop("out")
    try:
        made = write_coco(KINDS[given["subcommand"]](**options), out, {"kind": given["subcommand"], **options})
    except (ValueError, OSError) as e:
        raise SystemExit(f"synthetic_people: {e}") from None
    print(f"{out}: {made} scenes written")


if __name__ == "__main__":
    main()
