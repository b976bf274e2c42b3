"""corewise limits the threads of the torch that you have; torch itself is never imported here."""
