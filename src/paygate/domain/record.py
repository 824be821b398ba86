"""What is kept for years, and read by versions older and newer than the one that wrote it."""

import msgspec


class Recorded(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Everything that stands in a sealed record, the record itself and what is nested in it.

    A field at its default is not written, and a field that is not known is refused. So a version
    that does not know a field works on every record that does not use the field, and on none that
    does: it can never lose what a newer version has written. A field is therefore only added with
    a default, is never removed, and keeps its default for ever (docs/decisions/0017).
    """
