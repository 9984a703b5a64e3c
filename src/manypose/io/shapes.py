"""Array annotations with shapes (jaxtyping) that type checkers resolve to complete types."""

from typing import TYPE_CHECKING

__all__ = ["Bool", "Float", "Int", "Shaped", "UInt8"]

if TYPE_CHECKING:
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Shaped
    from typing import Annotated as UInt8
else:
    from jaxtyping import Bool, Float, Int, Shaped, UInt8
