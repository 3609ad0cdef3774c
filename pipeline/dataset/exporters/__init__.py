"""One module a format. They write with pyarrow, tarfile and json; the formats' own libraries read it."""
