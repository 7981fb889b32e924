"""What lowerings are made of: rows of stripes, shifts, windows, groups of filters, and what nodes say of themselves."""
