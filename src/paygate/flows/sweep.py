"""What the sweeps have in common: one payment that trips a run up holds up no other."""


class Faults:
    """The faults of a run, set aside until it has come to its end.

    As a context it keeps an exception for later, and lets its run go on behind the block.
    """

    def __init__(self) -> None:
        self._found: list[Exception] = []

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, fault: BaseException | None, __: object) -> bool:
        if not isinstance(fault, Exception):
            return False  # none, or the run is to end at once
        self._found.append(fault)
        return True

    def tell(self) -> None:
        """Raise the first: the run is reported as failed, and comes again by the clock."""
        if self._found:
            raise self._found[0]
