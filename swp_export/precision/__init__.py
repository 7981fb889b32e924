"""Numbers of fewer bits: static int8 as standard QDQ, its integer reference, and float16."""
