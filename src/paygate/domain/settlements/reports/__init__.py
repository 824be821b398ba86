"""Reports of settlements as files: from bytes to lines, as pure functions of what was fed."""
