"""Pictures of a batch several at a time: who hands them out, and the others as a program."""
