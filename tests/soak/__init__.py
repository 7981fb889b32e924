"""What measures the program's word: planted faults, random networks, hostile inputs. `make soak` runs it in full."""
