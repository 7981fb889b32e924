"""The kinds of operators by what they do to channels; each row of the table is of one kind, with its parameters."""
